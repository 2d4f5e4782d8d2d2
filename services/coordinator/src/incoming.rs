//! Connections as they come, no more of them than there may be.
//!
//! One above the limit is told so, in the one word that HTTP/2 has for it, and closed; and a process that has no file
//! descriptors left accepts no faster for asking again at once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// After an accept that failed for want of something.
const PAUSE: Duration = Duration::from_millis(100);
/// Refused connections that are kept until their peer has read why; more are closed at once.
const FAREWELLS: usize = 64;
/// How long each of them is kept.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a listener accepts.
pub(crate) struct Incoming {
    listener: TcpListener,
    most: usize,
    room: Arc<Semaphore>,
    farewells: Arc<Semaphore>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    pub(crate) fn new(listener: TcpListener, most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let (room, farewells) = (Arc::new(Semaphore::new(most)), Arc::new(Semaphore::new(FAREWELLS)));
        Self { listener, most, room, farewells, pause: None }
    }

    /// Says why and closes.
    fn refuse(&self, mut stream: TcpStream) {
        let text = format!(
            "{} connections are open and the limit CONNECTIONS is {}; close some, or let several callers share one",
            self.most, self.most
        );
        tracing::warn!("a connection was refused: {text}");
        let Ok(kept) = self.farewells.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let said = async {
                stream.write_all(&farewell(&text)).await?;
                stream.shutdown().await?;
                // Closing on what the peer has sent would take back what it has not read.
                while stream.read(&mut [0; 1_024]).await? > 0 {}
                io::Result::Ok(())
            };
            // Whether it listens is its own affair.
            let _ = tokio::time::timeout(FAREWELL, said).await;
            drop(kept);
        });
    }
}

/// SETTINGS, with which a server begins, and GOAWAY: no stream was seen, ENHANCE_YOUR_CALM, and a text.
fn farewell(text: &str) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    let length = 8 + text.len() as u32;
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(&[0, 0, 0, 0]);
    bytes.extend_from_slice(&0xb_u32.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            match self.listener.poll_accept(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok((stream, _))) => match self.room.clone().try_acquire_owned() {
                    Ok(place) => {
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "a connection cannot be told to send at once");
                        }
                        return Poll::Ready(Some(Ok(Connection { stream, _place: place })));
                    }
                    Err(_) => self.refuse(stream),
                },
                // That connection's own end.
                Poll::Ready(Err(error)) if is_the_peers(&error) => {}
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "no connection can be accepted; raise the limit of open files, or close some");
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                }
            }
        }
    }
}

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// An open connection; dropped, it makes room.
pub(crate) struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;
    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
