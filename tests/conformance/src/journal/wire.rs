//! The journal between processes: one line of JSON each way, over loopback.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use serde::{Deserialize, Serialize};

use super::book;

/// What a pen asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Say {
    /// Write a line.
    Log { run: u64, who: String, text: String },
    /// Pin a note.
    Pin { run: u64, key: String, value: String },
    /// Read a note.
    Look { run: u64, key: String },
}

/// Does it, in the process that holds the books.
pub(super) fn obey(what: &Say) -> Option<String> {
    match what {
        Say::Log { run, who, text } => {
            book(*run)?.write(who, text);
            None
        }
        Say::Pin { run, key, value } => {
            book(*run)?.pin(key, value);
            None
        }
        Say::Look { run, key } => book(*run)?.look(key),
    }
}

thread_local! {
    // A connection per thread: event loops write one line at a time, so there is nothing to share or to lock.
    static LINES: RefCell<HashMap<SocketAddr, BufReader<TcpStream>>> = RefCell::default();
}

/// Says it to the process that holds the books, and waits for the answer. Blocks the event loop for the time of a loopback
/// round trip: that is what makes the order of the lines mean something.
pub(super) fn tell(server: SocketAddr, what: &Say) -> Option<String> {
    LINES.with_borrow_mut(|lines| {
        let answer = exchange(lines, server, what);
        if answer.is_err() {
            lines.remove(&server);
        }
        // A book that cannot be reached makes the scenario fail at its journal; the body must not fail of it.
        answer.unwrap_or_default()
    })
}

fn exchange(
    lines: &mut HashMap<SocketAddr, BufReader<TcpStream>>,
    server: SocketAddr,
    what: &Say,
) -> std::io::Result<Option<String>> {
    if let std::collections::hash_map::Entry::Vacant(entry) = lines.entry(server) {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        entry.insert(BufReader::new(stream));
    }
    let line = lines.get_mut(&server).expect("just put there");
    let mut text = serde_json::to_string(what)?;
    text.push('\n');
    line.get_mut().write_all(text.as_bytes())?;
    let mut answer = String::new();
    line.read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Serves the books of this process on a port of its own choice. The threads end with the process.
///
/// # Errors
/// If no loopback port can be bound.
pub fn serve() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("journal".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    })?;
    Ok(address)
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let reply = serde_json::from_str::<Say>(&line).map(|what| obey(&what))?;
        let mut text = serde_json::to_string(&reply)?;
        text.push('\n');
        reader.get_mut().write_all(text.as_bytes())?;
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Clock, close, open};
    use super::*;

    #[test]
    fn another_process_writes_and_reads_over_loopback() {
        let server = serve().expect("a loopback port");
        let clock = Clock::Real { start: std::time::Instant::now(), unit: std::time::Duration::from_millis(10) };
        let (book, journal) = open(clock, Some(server));
        // Another process id: the pen then goes over the wire, as it does in a worker.
        let far = super::super::Journal { process: 0, ..journal.by("a") };
        far.log("start a");
        far.pin("key", "value");
        assert_eq!(far.look("key").as_deref(), Some("value"));
        assert_eq!(far.look("other"), None);
        let lines = book.lines();
        assert_eq!((lines[0].who.as_str(), lines[0].text.as_str()), ("a", "start a"));
        close(&journal);
        far.log("late");
        assert_eq!(book.lines().len(), 1);
    }
}
