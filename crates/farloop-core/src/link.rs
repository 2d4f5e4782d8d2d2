//! One end of a session: numbered items in two lanes, acknowledged, resumable after a cut.
//!
//! Items get their number when they leave their lane, not when they are pushed, so a control frame overtakes
//! queued data. A payload above [`limits::PART`] leaves as parts, then the frame itself as their tail. After a cut
//! both ends say how far they received; what is above is sent again, in order, and a duplicate is dropped: every
//! pushed frame arrives exactly once per session (L10). A number that is missing is an error of the connection,
//! answered by cutting and resuming it, never by guessing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use crate::limits;

/// What a frame costs besides its payload, roughly, in bytes: a bound must count empty frames too.
pub(crate) const FRAME_BYTES: usize = 64;

/// Which queue a frame waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Small and urgent: overtakes data.
    Control,
    /// In order.
    Data,
}

/// What a frame tells the link about itself.
pub trait LinkFrame: Clone {
    /// Its queue.
    fn lane(&self) -> Lane;
    /// Its payload, to be taken out (and put back by the receiver) when it is above [`limits::PART`].
    fn payload(&mut self) -> Option<&mut Bytes>;
    /// Bytes of its payload.
    fn payload_len(&self) -> usize;
    /// Bytes of whatever else is not of a fixed size: counted, never split.
    fn aside_len(&self) -> usize {
        0
    }
}

/// One numbered thing on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<F> {
    /// A frame that is whole.
    Frame(F),
    /// A piece of the payload of the next [`Item::Tail`].
    Part(Bytes),
    /// A frame whose payload is the parts before it, put together.
    Tail(F),
}

impl<F: LinkFrame> Item<F> {
    /// Whether a frame of the data lane is whole with it.
    fn ends_data(&self) -> bool {
        match self {
            Self::Frame(f) | Self::Tail(f) => f.lane() == Lane::Data,
            Self::Part(_) => false,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Frame(f) => FRAME_BYTES + f.payload_len() + f.aside_len(),
            Self::Part(b) => FRAME_BYTES + b.len(),
            Self::Tail(f) => FRAME_BYTES + f.aside_len(),
        }
    }

    fn frame_mut(&mut self) -> Option<&mut F> {
        match self {
            Self::Frame(f) | Self::Tail(f) => Some(f),
            Self::Part(_) => None,
        }
    }
}

/// What goes over a connection: items from `first` on, and how far this end has received.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<F> {
    /// Number of the first item; meaningless if there is none.
    pub first: u64,
    /// Items received so far from the peer.
    pub ack: u64,
    /// The items.
    pub items: Vec<Item<F>>,
}

/// The peer broke the protocol: cut the connection and resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Items are missing.
    #[error("item {expected} was expected and {got} came")]
    Gap {
        /// Next number that fits.
        expected: u64,
        /// Number that came.
        got: u64,
    },
    /// The peer acknowledges what was never sent.
    #[error("the peer acknowledges {ack} items and only {sent} were sent")]
    AckAhead {
        /// Its claim.
        ack: u64,
        /// The truth.
        sent: u64,
    },
    /// The peer says that it received less than it acknowledged before; what it misses is gone.
    #[error("the peer wants items from {wanted} on and those below {kept} are gone")]
    TooOld {
        /// First item it wants.
        wanted: u64,
        /// First item still kept.
        kept: u64,
    },
    /// The parts of one payload exceed the limit.
    #[error("a payload exceeds {limit} bytes")]
    PayloadTooLarge {
        /// The limit.
        limit: usize,
    },
}

/// One end of a session. It sends `F`; what it receives is the peer's, and named by [`Link::receive`].
#[derive(Debug)]
pub struct Link<F> {
    control: VecDeque<F>,
    data: VecDeque<F>,
    /// Payload bytes that have no number yet.
    queued_bytes: usize,
    /// Parts (and the tail) of the payload that is leaving, still without numbers.
    leaving: VecDeque<Item<F>>,
    /// Sent and not acknowledged; the first has number `acked`.
    unacked: VecDeque<Item<F>>,
    unacked_bytes: usize,
    acked: u64,
    /// Of `unacked`, how many went over the current connection.
    on_wire: usize,
    received: u64,
    /// Acknowledges no further than [`Link::settle`] says.
    careful: bool,
    /// Items received up to the last frame that is whole.
    whole: u64,
    /// Of those, the ones that may be acknowledged.
    settled: u64,
    /// The peer is to be told as soon as more may be acknowledged.
    owed: bool,
    ack_told: u64,
    assembly: BytesMut,
    max_payload: usize,
    data_pushed: u64,
    data_acked: u64,
}

impl<F: LinkFrame> Link<F> {
    /// A fresh end. `max_payload` bounds what the peer may send as one payload, in bytes.
    #[must_use]
    pub fn new(max_payload: usize) -> Self {
        Self {
            control: VecDeque::new(),
            data: VecDeque::new(),
            queued_bytes: 0,
            leaving: VecDeque::new(),
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            acked: 0,
            on_wire: 0,
            received: 0,
            careful: false,
            whole: 0,
            settled: 0,
            owed: false,
            ack_told: 0,
            assembly: BytesMut::new(),
            max_payload,
            data_pushed: 0,
            data_acked: 0,
        }
    }

    /// One that goes on where an end before it stopped, as far as that one told its peer: it had received that many items,
    /// and sent that many, of which the peer misses none.
    #[must_use]
    pub fn going_on(max_payload: usize, received: u64, sent: u64) -> Self {
        let (whole, settled) = (received, received);
        Self { received, whole, settled, ack_told: received, acked: sent, ..Self::new(max_payload) }
    }

    /// From now on it acknowledges whole frames only, and no further than [`Link::settle`] says: what a peer has been told
    /// to forget is never needed again.
    #[must_use]
    pub fn careful(self) -> Self {
        Self { careful: true, ..self }
    }

    /// Items received up to the last frame that is whole.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// A careful end may acknowledge that many items.
    pub fn settle(&mut self, items: u64) {
        self.settled = self.settled.max(items.min(self.whole));
    }

    /// How far this end acknowledges what it received: what a Hello or Welcome says.
    #[must_use]
    pub fn acknowledges(&self) -> u64 {
        if self.careful { self.settled } else { self.received }
    }

    /// Queues a frame.
    pub fn push(&mut self, frame: F) {
        match frame.lane() {
            Lane::Control => self.control.push_back(frame),
            Lane::Data => {
                self.data_pushed += 1;
                self.queued_bytes += frame.payload_len();
                self.data.push_back(frame);
            }
        }
    }

    /// Frames of the data lane pushed so far.
    #[must_use]
    pub fn data_pushed(&self) -> u64 {
        self.data_pushed
    }

    /// Of those, how many the peer has received: they keep their order.
    #[must_use]
    pub fn data_acked(&self) -> u64 {
        self.data_acked
    }

    /// Frames pushed that have no number yet.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.control.len() + self.data.len() + self.leaving.len()
    }

    /// Payload bytes pushed that have no number yet.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Items sent and not acknowledged yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.unacked.len()
    }

    /// Items sent so far, acknowledged or not.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.acked + self.unacked.len() as u64
    }

    /// Whether another item may leave before the peer acknowledges.
    #[must_use]
    pub fn has_window(&self) -> bool {
        self.unacked.len() < limits::WINDOW_ITEMS && self.unacked_bytes < limits::WINDOW_BYTES
    }

    /// Items received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether an acknowledgement is due even with nothing to send.
    #[must_use]
    pub fn ack_due(&self) -> bool {
        let more = self.acknowledges() - self.ack_told;
        more >= limits::ACK_EVERY || (self.owed && more > 0)
    }

    /// Whether [`Link::poll_batch`] would give something now, without being forced.
    #[must_use]
    pub fn ready(&self) -> bool {
        let waits = !self.leaving.is_empty() || (!self.data.is_empty() && self.has_window());
        self.on_wire < self.unacked.len() || !self.control.is_empty() || waits || self.ack_due()
    }

    /// The next batch, or none if there is nothing to say. `force_ack` makes an empty batch if the peer has not
    /// been told how far this end received.
    pub fn poll_batch(&mut self, force_ack: bool) -> Option<Batch<F>> {
        let first = self.acked + self.on_wire as u64;
        let mut items = Vec::new();
        let mut bytes = 0;
        while items.len() < limits::BATCH_ITEMS && bytes < limits::BATCH_BYTES {
            if self.on_wire == self.unacked.len() && !self.number_one() {
                break;
            }
            let item = &self.unacked[self.on_wire];
            bytes += item.weight();
            items.push(item.clone());
            self.on_wire += 1;
        }
        let ack = self.acknowledges();
        // What may not be acknowledged yet is, as soon as it may.
        let owes = force_ack || self.owed;
        self.owed = owes && self.received > ack;
        if items.is_empty() && ack - self.ack_told < limits::ACK_EVERY && !(owes && ack > self.ack_told) {
            return None;
        }
        self.ack_told = ack;
        Some(Batch { first, ack, items })
    }

    /// Takes a batch in; the frames that are complete come out, duplicates do not.
    ///
    /// # Errors
    /// The connection must be cut and resumed; frames that came out before the error stand.
    pub fn receive<G: LinkFrame>(&mut self, batch: Batch<G>, mut each: impl FnMut(G)) -> Result<(), LinkError> {
        self.receive_numbered(batch, |_, frame| each(frame))
    }

    /// As [`Link::receive`], with the number of the item that each frame ends with.
    ///
    /// # Errors
    /// As there.
    pub fn receive_numbered<G: LinkFrame>(
        &mut self,
        batch: Batch<G>,
        mut each: impl FnMut(u64, G),
    ) -> Result<(), LinkError> {
        self.acknowledge(batch.ack)?;
        if batch.items.is_empty() {
            return Ok(());
        }
        if batch.first > self.received {
            return Err(LinkError::Gap { expected: self.received, got: batch.first });
        }
        let known = usize::try_from(self.received - batch.first).unwrap_or(usize::MAX);
        for item in batch.items.into_iter().skip(known) {
            // Counted once it is taken: after the error below nothing of that payload may pass for received.
            if let Item::Part(p) = &item
                && self.assembly.len() + p.len() > self.max_payload
            {
                return Err(LinkError::PayloadTooLarge { limit: self.max_payload });
            }
            self.received += 1;
            match item {
                Item::Frame(f) => {
                    self.whole = self.received;
                    each(self.received, f);
                }
                Item::Part(p) => {
                    self.assembly.extend_from_slice(&p);
                }
                Item::Tail(mut f) => {
                    let whole = self.assembly.split().freeze();
                    if let Some(place) = f.payload() {
                        *place = whole;
                    }
                    self.whole = self.received;
                    each(self.received, f);
                }
            }
        }
        Ok(())
    }

    /// Of the items sent, how many the peer acknowledged: this end still has those above.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// Looks at each frame that the peer has not acknowledged, in the order in which they leave (control frames that
    /// have no number yet come first), and may put another in its place; the second value says whether the frame was
    /// sent, so that the peer may have it. For a peer that started again: some of what
    /// was said to the one before means nothing to it. Parts of a payload whose frame is replaced by one without are
    /// sent and dropped at the other end.
    pub fn rewrite(&mut self, mut each: impl FnMut(&mut F, bool)) {
        self.unacked.iter_mut().filter_map(Item::frame_mut).for_each(|f| each(f, true));
        self.unacked_bytes = self.unacked.iter().map(Item::weight).sum();
        self.control.iter_mut().for_each(|f| each(f, false));
        self.leaving.iter_mut().filter_map(Item::frame_mut).for_each(|f| each(f, false));
        self.data.iter_mut().for_each(|f| each(f, false));
        let parts = self.leaving.iter().map(|item| if let Item::Part(part) = item { part.len() } else { 0 });
        self.queued_bytes = parts.sum::<usize>() + self.data.iter().map(LinkFrame::payload_len).sum::<usize>();
    }

    /// The peer started again: a payload of which only parts came will never be whole.
    pub fn drop_assembly(&mut self) {
        self.assembly.clear();
    }

    /// The connection is gone: everything that was not acknowledged will be sent again.
    pub fn cut(&mut self) {
        self.on_wire = 0;
    }

    /// A new connection, and the peer says it received that many items: sends again what is above.
    ///
    /// # Errors
    /// The peer wants what this end no longer has (or never had): the session is lost.
    pub fn resume(&mut self, peer_received: u64) -> Result<(), LinkError> {
        if peer_received < self.acked {
            return Err(LinkError::TooOld { wanted: peer_received, kept: self.acked });
        }
        self.acknowledge(peer_received)?;
        self.on_wire = 0;
        self.ack_told = self.acknowledges();
        Ok(())
    }

    fn acknowledge(&mut self, ack: u64) -> Result<(), LinkError> {
        let sent = self.sent();
        if ack > sent {
            return Err(LinkError::AckAhead { ack, sent });
        }
        while self.acked < ack {
            if let Some(item) = self.unacked.pop_front() {
                self.unacked_bytes -= item.weight();
                self.data_acked += u64::from(item.ends_data());
            }
            self.acked += 1;
            self.on_wire = self.on_wire.saturating_sub(1);
        }
        Ok(())
    }

    /// Moves one item from the lanes into `unacked`; false if there is none or the window is full.
    /// Control frames pass the window: they are few and small, and a cancel must not wait for acknowledgements.
    fn number_one(&mut self) -> bool {
        let item = if let Some(f) = self.control.pop_front() {
            Item::Frame(f)
        } else if let Some(item) = self.leaving.pop_front() {
            // A payload that has begun goes on: the peer may acknowledge nothing of it until it is whole.
            if let Item::Part(part) = &item {
                self.queued_bytes -= part.len();
            }
            item
        } else if !self.has_window() {
            return false;
        } else if let Some(f) = self.data.pop_front() {
            self.split(f)
        } else {
            return false;
        };
        self.unacked_bytes += item.weight();
        self.unacked.push_back(item);
        true
    }

    fn split(&mut self, mut frame: F) -> Item<F> {
        if frame.payload_len() <= limits::PART {
            self.queued_bytes -= frame.payload_len();
            return Item::Frame(frame);
        }
        let Some(mut rest) = frame.payload().map(core::mem::take) else { return Item::Frame(frame) };
        let first = rest.split_to(limits::PART);
        self.queued_bytes -= first.len();
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(limits::PART));
            self.leaving.push_back(Item::Part(part));
        }
        self.leaving.push_back(Item::Tail(frame));
        Item::Part(first)
    }
}
