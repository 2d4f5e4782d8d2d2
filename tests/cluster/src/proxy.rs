//! A TCP proxy on loopback between an SDK and the coordinator, which breaks connections when it is told to: now, or
//! after so many bytes. It knows nothing of HTTP/2, so a cut falls in the middle of frames as it does in life.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the coordinator.
    Up,
    /// From it.
    Down,
}

/// How connections break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// Both ends get a reset.
    #[default]
    Reset,
    /// Nobody is told: bytes just stop, as when a cable is pulled.
    Stall,
}

/// When all connections break.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    way: Way,
    after: u64,
    how: How,
}

impl Cut {
    /// After so many more bytes to the coordinator.
    #[must_use]
    pub fn up(bytes: u64) -> Self {
        Self::after(Way::Up, bytes)
    }

    /// After so many more bytes from it.
    #[must_use]
    pub fn down(bytes: u64) -> Self {
        Self::after(Way::Down, bytes)
    }

    /// After so many more bytes on that way.
    #[must_use]
    pub fn after(way: Way, bytes: u64) -> Self {
        Self { way, after: bytes, how: How::Reset }
    }

    /// Without telling anybody.
    #[must_use]
    pub fn silently(self) -> Self {
        Self { how: How::Stall, ..self }
    }
}

/// A proxy on a thread of its own, so that a busy test does not slow it down. Dropped, it ends with its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    cuts: AtomicU64,
    refuses: AtomicBool,
    plan: Mutex<Plan>,
    broken: watch::Sender<How>,
    stop: Notify,
}

/// Cuts to come. Bytes count from the moment when the cut before was made.
#[derive(Debug, Default)]
struct Plan {
    left: VecDeque<Cut>,
    counted: u64,
}

impl Proxy {
    /// Listens on a free port and carries to `target`.
    ///
    /// # Panics
    /// If there is no port or no thread to be had.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound listener has an address");
        listener.set_nonblocking(true).expect("any socket can be");
        let shared = Arc::new(Shared {
            target,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
            plan: Mutex::default(),
            broken: watch::Sender::new(How::Reset),
            stop: Notify::new(),
        });
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener that does not block");
                tokio::select! {
                    () = accept(&listener, &of_thread) => {}
                    () = of_thread.stop.notified() => {}
                }
            });
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// What to connect to in place of the coordinator.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes carried to the coordinator.
    #[must_use]
    pub fn up(&self) -> u64 {
        self.shared.up.load(Ordering::Acquire)
    }

    /// Bytes carried from it.
    #[must_use]
    pub fn down(&self) -> u64 {
        self.shared.down.load(Ordering::Acquire)
    }

    /// Connections accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Cuts made.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Acquire)
    }

    /// Breaks all connections now.
    pub fn cut(&self, how: How) {
        self.shared.cut(how);
    }

    /// Breaks all connections at these moments, one after the other, in place of what was planned before.
    pub fn plan(&self, cuts: impl IntoIterator<Item = Cut>) {
        *self.shared.plan() = Plan { left: cuts.into_iter().collect(), counted: 0 };
    }

    /// Breaks all connections and every new one, until [`accept`](Self::accept).
    pub fn refuse(&self) {
        self.shared.refuses.store(true, Ordering::Release);
        self.shared.cut(How::Reset);
    }

    /// Carries connections again.
    pub fn accept(&self) {
        self.shared.refuses.store(false, Ordering::Release);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; a second one from here would hide the test's own.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, how: How) {
        self.cuts.fetch_add(1, Ordering::AcqRel);
        self.broken.send_replace(how);
    }

    /// How many of `n` bytes still pass, and what happens then.
    fn pass(&self, way: Way, n: usize) -> (usize, Option<How>) {
        let mut plan = self.plan();
        let Some(next) = plan.left.front().copied().filter(|next| next.way == way) else { return (n, None) };
        let room = usize::try_from(next.after - plan.counted).unwrap_or(usize::MAX);
        if n < room {
            plan.counted += n as u64;
            return (n, None);
        }
        plan.left.pop_front();
        plan.counted = 0;
        (room, Some(next.how))
    }

    fn count(&self, way: Way, n: usize) {
        let counter = if way == Way::Up { &self.up } else { &self.down };
        counter.fetch_add(n as u64, Ordering::AcqRel);
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        // An accept that fails is the peer's affair: it tries again.
        let Ok((near, _)) = listener.accept().await else { continue };
        shared.connections.fetch_add(1, Ordering::AcqRel);
        if shared.refuses.load(Ordering::Acquire) {
            reset(&near);
            continue;
        }
        // From here on, so that a cut between this and the first byte counts.
        let broken = shared.broken.subscribe();
        tokio::spawn(carry(shared.clone(), near, broken));
    }
}

async fn carry(shared: Arc<Shared>, mut near: TcpStream, mut broken: watch::Receiver<How>) {
    let Ok(mut far) = TcpStream::connect(shared.target).await else {
        reset(&near);
        return;
    };
    for end in [&near, &far] {
        // Small writes must not wait for each other, or cuts fall between batches only.
        drop(end.set_nodelay(true));
    }
    let how = {
        let (mut near_in, mut near_out) = near.split();
        let (mut far_in, mut far_out) = far.split();
        let both = async {
            tokio::try_join!(
                pump(&shared, Way::Up, &mut near_in, &mut far_out),
                pump(&shared, Way::Down, &mut far_in, &mut near_out)
            )
        };
        tokio::select! {
            biased;
            _ = broken.changed() => Some(*broken.borrow()),
            _ = both => None,
        }
    };
    match how {
        // One end closed or broke; the other is told in the same way by dropping it.
        None => {}
        Some(How::Reset) => {
            reset(&near);
            reset(&far);
        }
        // Both ends stay open and nobody reads: only silence can tell them.
        Some(How::Stall) => std::future::pending().await,
    }
}

async fn pump(
    shared: &Shared,
    way: Way,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        let (passes, cut) = shared.pass(way, n);
        to.write_all(&buffer[..passes]).await?;
        shared.count(way, passes);
        if let Some(how) = cut {
            shared.cut(how);
            // The connection's own task sees the cut and ends this.
            std::future::pending().await
        }
    }
}

/// The stream is reset when it is dropped.
fn reset(stream: &TcpStream) {
    // Where it cannot be set the other end gets a plain close: a cut all the same.
    drop(stream.set_zero_linger());
}
