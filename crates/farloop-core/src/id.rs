//! Names of things: 128-bit ids made outside the core (UUIDv7), and the numbers that order attempts.

use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&uuid::Uuid::from_u128(self.0).hyphenated(), f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl $name {
            /// Milliseconds since 1970 that a UUIDv7 carries in its first 48 bits.
            #[must_use]
            pub fn timestamp_ms(self) -> u64 {
                (self.0 >> 80) as u64
            }
            /// Reads the text form (hyphens optional).
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                uuid::Uuid::try_parse(text).ok().map(|u| Self(u.as_u128()))
            }
        }
    };
}

id!(
    /// One scheduled coroutine; made by whoever submits it.
    TaskId
);
id!(
    /// One session of a client or worker process; survives cuts of the connection.
    SessionId
);
id!(
    /// One worker process. Equal to the id of its session.
    WorkerId
);

id!(
    /// One anonymous lock, semaphore, event, queue or barrier, or one condition of a lock; made by its creator.
    PrimitiveId
);

/// Numbers attempts over the whole cluster. Grows by one for each lease that the coordinator gives, so a later
/// attempt always has the higher epoch (L5). A report under any but the current epoch is STALE (L4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// One attempt at one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// The lease under which this attempt runs.
    pub epoch: Epoch,
}

/// One life of a coordinator that keeps records: from one start of its process to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// Drawn when the records began: tells coordinators apart that keep different ones.
    pub cluster: u128,
    /// From 1.
    pub number: u64,
}

/// One connection of a session, numbered by the shell; what comes over an older one is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One call of the public API that waits for its answer, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);
