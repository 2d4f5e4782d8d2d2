//! Every bound, with a name (L18). Where a bound can be set, these are the defaults.

use alloc::vec::Vec;
use core::time::Duration;

use crate::bounds::Bound;

/// Each is a constant, and all are listed for people.
macro_rules! limits {
    ($($(#[$doc:meta])* pub const $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $type = $value;)*

        /// All of them, with their names.
        pub(crate) fn all() -> Vec<(&'static str, Bound)> {
            [$((stringify!($name), Bound::from($name))),*].into()
        }
    };
}

limits! {
/// Largest piece of a payload in one item, in bytes: a cancel waits for at most one of them.
pub const PART: usize = 64 * 1024;
/// Items that may wait for the peer's acknowledgement on one session.
pub const WINDOW_ITEMS: usize = 65_536;
/// Bytes that may wait for the peer's acknowledgement on one session.
pub const WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// Items of one batch.
pub const BATCH_ITEMS: usize = 1_024;
/// Payload bytes of one batch (one part may exceed what is left, never two).
pub const BATCH_BYTES: usize = 256 * 1024;
/// Items received after which an acknowledgement is sent even if there is nothing else to say.
pub const ACK_EVERY: u64 = 256;
/// Largest payload of one argument list or result, in bytes.
pub const MAX_PAYLOAD: usize = 64 * 1024 * 1024;
/// Tasks that are not over yet, over the whole cluster.
pub const MAX_LIVE_TASKS: usize = 2_000_000;
/// Tasks one parent may have created and not ended.
pub const MAX_CHILDREN: usize = 1_000_000;
/// Nesting depth of tasks: each is owned by the one outside of it. A detached one begins anew.
pub const MAX_DEPTH: u32 = 10_000;
/// Specs inside of each other: a reminder has its call, whose address may have an actor to make.
pub const SPEC_NESTING: usize = 4;
/// Dependencies of one task.
pub const MAX_DEPENDENCIES: usize = 16_384;
/// Wait edges that one attempt reports.
pub const EDGES: usize = 4_096;
/// Records that one `handle` may touch before the rest is queued (L21).
pub const TOUCH: usize = 4_096;
/// Cancel requests kept for tasks that are not known yet.
pub const TOMBSTONES: usize = 65_536;
/// Cancel requests of one task that are known again by the names that their callers gave them: the last ones.
pub const NAMED_CANCELS: usize = 64;
/// Labels of one task.
pub const LABELS: usize = 64;
/// Members of one gather of the public API.
pub const GATHER_MEMBERS: usize = 16_384;
/// Calls of the public API that wait for something at once.
pub const CALLS: usize = 65_536;
/// Ids of one request that may be given by their ending: each costs a look at all records.
pub const SHORT_IDS: usize = 256;
/// Readers that watch tasks or an actor at once.
pub const WATCHES: usize = 128;
/// Changes that may wait for one reader who watches; beyond that the oldest is lost, and counted.
pub const WATCH_CHANGES: usize = 16_384;
/// Items of one stream that its consumer has not taken: then the producer waits.
pub const STREAM_ITEMS: usize = 256;
/// Bytes of items of one stream that its consumer has not taken, [`STREAM_ITEM_BYTES`] more for each of them: then the
/// producer waits. An item on its own may be larger, up to [`MAX_PAYLOAD`].
pub const STREAM_BYTES: usize = 256 * 1024;
/// What an item costs besides its bytes.
pub const STREAM_ITEM_BYTES: usize = 64;
/// Streams that one session consumes at once.
pub const STREAMS: usize = 1_024;
/// Tasks on one page of a list.
pub const PAGE: usize = 1_000;
/// Notes that may wait for one session; a session that does not take what it is sent is over beyond that.
pub const TELLS: usize = 4_194_304;
/// Bytes of the results and items in those notes; a session that does not take them is over beyond that.
pub const TELLS_BYTES: usize = 1024 * 1024 * 1024;
/// Locks, semaphores, events, queues and barriers in use at once, over the whole cluster.
pub const SYNC_PRIMITIVES: usize = 65_536;
/// Waits, permits and items on their way at once, over the whole cluster.
pub const SYNC_CALLS: usize = 1_048_576;
/// Calls that wait for one primitive; so also parties of a barrier.
pub const SYNC_WAITERS: usize = 131_072;
/// Items in one queue.
pub const SYNC_ITEMS: usize = 262_144;
/// Bytes of the items in one queue.
pub const SYNC_QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of the items in all queues, those that wait to be put included.
pub const SYNC_BYTES: usize = 512 * 1024 * 1024;
/// Bytes of records that wait for the disk; above that nothing new is read from any connection.
pub const JOURNAL_QUEUE: usize = 64 * 1024 * 1024;
/// Bytes of one segment of the journal: records leave by whole segments.
pub const JOURNAL_SEGMENT: u64 = 32 * 1024 * 1024;
/// Segments that are taken from the disk ahead of need: what can still be written when it is full.
pub const JOURNAL_RESERVE: usize = 2;
/// Bytes of one frame of the journal, from which on the next one begins.
pub const JOURNAL_FRAME: usize = 1024 * 1024;
/// Bytes of a record that lies among the others; a larger one has a file of its own.
pub const JOURNAL_BLOB: usize = 256 * 1024;
/// Bytes of the journal, above which records leave before their retention is over; what is still known is carried.
pub const JOURNAL_BYTES: u64 = 512 * 1024 * 1024;
/// Sessions at once.
pub const MAX_SESSIONS: usize = 10_000;
/// Connections that a coordinator keeps open at once, those of sessions included.
pub const CONNECTIONS: usize = 16_384;
/// Functions one worker may offer.
pub const MAX_FUNCTIONS: usize = 4_096;
/// Bytes of a name.
pub const MAX_NAME: usize = 256;
/// Bytes of a cancel message.
pub const MAX_MESSAGE: usize = 4_096;
/// Bytes of a failure's text, its chain of causes included.
pub const FAILURE_TEXT: usize = 64 * 1024;
/// Bytes of an encoded error; a larger one travels as text alone.
pub const FAILURE_DETAILS: usize = 256 * 1024;
/// Failures that travel in one group, those of groups inside counted; the text tells how many there were.
pub const FAILURE_MEMBERS: usize = 64;
/// Groups inside groups that travel as such.
pub const FAILURE_LEVELS: usize = 16;
/// Causes of a failure that are kept.
pub const FAILURE_CAUSES: usize = 64;
/// Bytes of the details of a heartbeat, and of a progress value, as encoded.
pub const MAX_DETAILS: usize = 32 * 1024;
/// Lost workers a task survives unless told otherwise.
pub const MAX_CRASHES: u32 = 3;
/// Patience after a cancel.
pub const CANCEL_GRACE: Duration = Duration::from_secs(10);
/// Silence after which a worker is dead.
pub const WORKER_DEAD_AFTER: Duration = Duration::from_secs(3);
/// Absence after which a client session is over and what it owns is cancelled.
pub const SESSION_TTL: Duration = Duration::from_secs(30);
/// How long results are kept.
pub const RETENTION: Duration = Duration::from_secs(3_600);
/// Finished tasks that are kept at most.
pub const RETAINED_TASKS: usize = 100_000;
/// Result bytes that are kept at most.
pub const RETAINED_BYTES: usize = 256 * 1024 * 1024;
/// Tasks that are pinned at once.
pub const PINNED_TASKS: usize = 10_000;
/// Bytes of the results of pinned tasks. A result above is kept as others are.
pub const PINNED_BYTES: usize = 256 * 1024 * 1024;
/// Forgotten tasks whose ids are remembered one by one, so that none of them runs again.
pub const FORGOTTEN: usize = 262_144;
/// How far the clock of a submitter may differ from the coordinator's: an id counts as too old that much later.
pub const CLOCK_SKEW: Duration = Duration::from_secs(600);
/// Bytes of the context variables that travel with a call.
pub const CONTEXT: usize = 16 * 1_024;
/// Bytes of one printed piece; a longer line travels in several.
pub const PRINT: usize = 8 * 1_024;
/// Bytes printed by bodies that may wait for one session, each piece counted with its note; what is above is lost, and
/// the session is told how many lines that were.
pub const PRINTS_WAITING: usize = 1_024 * 1_024;
/// Bytes of what a task printed that are kept with it: the last ones.
pub const LOG: usize = 16 * 1_024;
/// Bytes of what a task printed that are kept for each worker that was lost with it: the last ones.
pub const CRASH_LOG: usize = 2 * 1_024;
/// Lost workers that are kept with a task: the last ones.
pub const CRASHES: usize = 8;
/// Lost workers beyond `max_crashes` that a task survives because others ran there, too.
pub const ALONE_RUNS: u32 = 3;
/// Longest time for which a worker is kept for one task that is to run alone: until the worker holds nothing else, and
/// again while the task runs.
pub const ALONE: Duration = Duration::from_secs(30);
/// Lost workers of which a report may still come how they ended: the last ones.
pub const DEPARTED: usize = 64;
/// Tasks that were lost with one of them and are told when it does.
pub const DEPARTED_TASKS: usize = 1_024;
/// Calls that may wait for one actor, of all callers, unless its type says otherwise.
pub const MAILBOX: u32 = 10_000;
/// Calls of one caller that may be under way at one actor or wait for it, unless its type says otherwise.
pub const MAILBOX_PER_CALLER: u32 = 1_024;
/// Calls that wait for room in the mailbox of one actor, because their callers chose to.
pub const MAILBOX_LINES: usize = 65_536;
/// Calls of one actor that are at its worker at once: the one that runs, and those that wait there for their turn.
pub const CALLS_AHEAD: usize = 256;
/// How long a named actor is somebody's after its worker was heard last. Its worker stops it when two thirds are over.
pub const ACTOR_LEASE: Duration = Duration::from_secs(10);
/// Bytes of an actor's snapshot.
pub const SNAPSHOT: usize = 16 * 1024 * 1024;
/// Bytes of the snapshots of all actors.
pub const SNAPSHOTS: usize = 1024 * 1024 * 1024;
/// Actors that wait for a worker which fits them and are looked at when one has room.
pub const FITTING_LOOKS: usize = 64;
/// Labels of one worker.
pub const WORKER_LABELS: usize = 64;
/// Bytes of what all tasks printed that are kept.
pub const LOGS: usize = 64 * 1_024 * 1_024;
}
