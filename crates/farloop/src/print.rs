//! What bodies print reaches the program that called them.
//!
//! Inside a task's body the macros of this module write where std's do, to the worker's own standard output, and send
//! the text along the tree: the process of the client at its top writes it to its own. Everywhere else they *are* std's.
//! In an in-process cluster both are one process, and a line is written once: by the loop, where the program's own lines
//! are written, so that the order is asyncio's.
//!
//! Printing never blocks anybody: what is above a bound is lost, counted, and told.

use std::fmt;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use farloop_core::frame::{Print, Stdio};
use farloop_core::limits;
use tokio::time::Instant;

use crate::body::Body;

/// Bytes an attempt may print at once.
pub const PRINT_BURST: usize = 1_024 * 1_024;
/// Bytes a second that an attempt may print beyond that.
pub const PRINT_RATE: usize = 256 * 1_024;
/// An attempt that has printed this much lately leaves half of the session's room to others.
const MODEST: usize = 64 * 1_024;

/// As [`std::println!`]; in a task's body the line also reaches the client whose call it serves, before the outcome
/// does.
///
/// In the text of a `#[farloop::task]` function the plain `println!` is this one, and so are `print!`, `eprintln!` and
/// `eprint!`. A helper that prints for a body says `use farloop::println;`. A text travels by lines: what has no end
/// of line yet waits for one, or for the end of the body.
///
/// An attempt may print [`PRINT_BURST`](crate::PRINT_BURST) bytes at once and
/// [`PRINT_RATE`](crate::PRINT_RATE) bytes a second; where it prints more, or the client takes less, lines are lost
/// on the way (never at the worker's own output) and the client says how many. The coordinator keeps the last 16 KiB
/// of each task: `GetTask` and `ExplainTask` show them. A **detached** task has no client: its prints are there alone.
/// A task that is tried again prints again.
///
/// ```
/// use farloop::prelude::*;
///
/// #[farloop::task]
/// async fn do_some_work(x: u32) -> u32 {
///     println!("Waiting {x}"); // seen where do_some_work was called
///     helper(x);
///     x
/// }
///
/// fn helper(x: u32) {
///     farloop::println!("halfway with {x}");
/// }
/// ```
#[macro_export]
macro_rules! println {
    () => { $crate::__private::print_out(::core::format_args!("\n")) };
    ($($arg:tt)*) => { $crate::__private::print_out(::core::format_args!("{}\n", ::core::format_args!($($arg)*))) };
}

/// As [`std::print!`]; in a task's body as [`println!`](crate::println).
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::__private::print_out(::core::format_args!($($arg)*)) };
}

/// As [`std::eprintln!`]; in a task's body as [`println!`](crate::println), to standard error.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::__private::print_err(::core::format_args!("\n")) };
    ($($arg:tt)*) => { $crate::__private::print_err(::core::format_args!("{}\n", ::core::format_args!($($arg)*))) };
}

/// As [`std::eprint!`]; in a task's body as [`println!`](crate::println), to standard error.
#[macro_export]
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::__private::print_err(::core::format_args!($($arg)*)) };
}

/// Prints for the body of this thread, or as std does.
pub(crate) fn print(stream: Stdio, text: fmt::Arguments<'_>) {
    let travels = |body: &Arc<Body>| body.has_root() || !body.home.session().is_in_process();
    let Some(body) = Body::current().and_then(|body| body.at_work()).filter(travels) else {
        return as_std(stream, text);
    };
    let text = text.to_string();
    if !body.home.session().is_in_process() {
        write(stream, &text);
    }
    body.print(stream, &text);
}

/// Seen by the test harness, and a panic where nobody reads.
fn as_std(stream: Stdio, text: fmt::Arguments<'_>) {
    match stream {
        Stdio::Out => std::print!("{text}"),
        Stdio::Err => std::eprint!("{text}"),
    }
}

/// To this process's own output. One that nobody reads any more is no reason for a task or a loop to fail.
fn write(stream: Stdio, text: &str) {
    let _ = match stream {
        Stdio::Out => std::io::stdout().lock().write_all(text.as_bytes()),
        Stdio::Err => std::io::stderr().lock().write_all(text.as_bytes()),
    };
}

/// Shows what a body printed, on the loop of whoever called it.
pub(crate) fn show(print: &Print, lost_here: u32, in_process: bool) {
    if in_process {
        let text = AssertUnwindSafe(&print.text);
        let _ = std::panic::catch_unwind(move || as_std(print.stream, format_args!("{}", *text)));
    } else {
        write(print.stream, &print.text);
    }
    let lost = print.lost.saturating_add(lost_here);
    if lost > 0 {
        write(Stdio::Err, &format!("farloop: {lost} printed lines were lost: more was printed than can be carried\n"));
    }
}

/// What one attempt has printed and not sent, and how much more it may.
#[derive(Debug)]
pub(crate) struct Prints {
    out: String,
    err: String,
    lost: u32,
    allowance: usize,
    counted: Instant,
    /// It has used all it may: a good piece of it must come back first, or every line would be followed by a notice.
    exhausted: bool,
}

impl Prints {
    pub(crate) fn new() -> Self {
        Self {
            out: String::new(),
            err: String::new(),
            lost: 0,
            allowance: PRINT_BURST,
            counted: Instant::now(),
            exhausted: false,
        }
    }

    /// Adds a text; each piece that is complete is offered to `send`, with the room that may be taken for it.
    pub(crate) fn add(&mut self, stream: Stdio, text: &str, send: impl FnMut(Print, usize) -> bool) {
        match stream {
            Stdio::Out => self.out.push_str(text),
            Stdio::Err => self.err.push_str(text),
        }
        self.send_pieces(stream, false, send);
    }

    /// The body is over: what has no end of line goes, too, and what was lost is told.
    pub(crate) fn finish(&mut self, mut send: impl FnMut(Print, usize) -> bool) {
        self.send_pieces(Stdio::Out, true, &mut send);
        self.send_pieces(Stdio::Err, true, &mut send);
        if self.lost > 0 {
            let notice = Print { stream: Stdio::Err, text: String::new(), lost: self.lost };
            send(notice, usize::MAX);
        }
    }

    fn send_pieces(&mut self, stream: Stdio, all: bool, mut send: impl FnMut(Print, usize) -> bool) {
        loop {
            let waiting = match stream {
                Stdio::Out => &mut self.out,
                Stdio::Err => &mut self.err,
            };
            let Some(end) = piece(waiting, all) else { return };
            let text: String = waiting.drain(..end).collect();
            self.refill();
            let modest = PRINT_BURST - self.allowance < MODEST;
            let room = if modest { limits::PRINTS_WAITING } else { limits::PRINTS_WAITING / 2 };
            let (lines, text_len) = (text.lines().count() as u32, text.len());
            self.exhausted &= self.allowance < MODEST;
            if !self.exhausted
                && let Some(left) = self.allowance.checked_sub(text.len())
                && send(Print { stream, text, lost: self.lost }, room)
            {
                self.allowance = left;
                self.lost = 0;
            } else {
                self.lost = self.lost.saturating_add(lines);
                self.exhausted |= self.allowance < text_len;
            }
        }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let more = PRINT_RATE as u128 * (now - self.counted).as_micros() / Duration::from_secs(1).as_micros();
        if more > 0 {
            self.allowance =
                PRINT_BURST.min(self.allowance.saturating_add(usize::try_from(more).unwrap_or(PRINT_BURST)));
            self.counted = now;
        }
    }
}

/// Where the next piece ends: at the last end of line that fits, or, of a line too long, anywhere.
fn piece(text: &str, all: bool) -> Option<usize> {
    let fits = text.floor_char_boundary(limits::PRINT);
    match text[..fits].rfind('\n') {
        Some(end) => Some(end + 1),
        None if fits < text.len() || (all && fits > 0) => Some(fits),
        None => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn collect(prints: &mut Prints, text: &str) -> Vec<Print> {
        let mut sent = Vec::new();
        prints.add(Stdio::Out, text, |print, _| {
            sent.push(print);
            true
        });
        sent
    }

    #[test]
    fn lines_travel_whole_and_what_has_no_end_waits_for_one() {
        let mut prints = Prints::new();
        assert_eq!(collect(&mut prints, "a"), []);
        assert_eq!(collect(&mut prints, "b\nc"), [Print { stream: Stdio::Out, text: "ab\n".into(), lost: 0 }]);
        let mut rest = Vec::new();
        prints.finish(|print, _| {
            rest.push(print.text);
            true
        });
        assert_eq!(rest, ["c"]);
    }

    #[test]
    fn a_line_too_long_travels_in_pieces_between_characters() {
        let mut prints = Prints::new();
        let long = "ä".repeat(limits::PRINT);
        let sent = collect(&mut prints, &format!("x{long}\n"));
        assert!(sent.iter().all(|p| p.text.len() <= limits::PRINT), "{}", sent.len());
        assert_eq!(sent.iter().map(|p| p.text.as_str()).collect::<String>(), format!("x{long}\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_the_burst_is_lost_until_time_passes_and_the_next_line_says_so() {
        let mut prints = Prints::new();
        let line = format!("{}\n", ".".repeat(1_023));
        let lines = PRINT_BURST / line.len() + 10;
        let sent: Vec<Print> = (0..lines).flat_map(|_| collect(&mut prints, &line)).collect();
        assert_eq!((sent.len(), sent.iter().map(|p| p.lost).sum::<u32>()), (lines - 10, 0));
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(collect(&mut prints, "too soon\n"), []);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(collect(&mut prints, "told\n")[0].lost, 11);
    }

    #[test]
    fn what_the_session_has_no_room_for_is_told_at_the_end() {
        let mut prints = Prints::new();
        prints.add(Stdio::Out, "one\ntwo\n", |_, _| false);
        let mut told = Vec::new();
        prints.finish(|print, room| {
            told.push((print, room));
            true
        });
        assert_eq!(told, [(Print { stream: Stdio::Err, text: String::new(), lost: 2 }, usize::MAX)]);
    }
}
