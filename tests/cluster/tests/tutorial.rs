//! The tutorial's examples print what they print in Python, when they print it there: each as a process of its own, once
//! with its bodies in that process, and once with its bodies on a worker of a real cluster.
//!
//! What CPython 3.11 printed is in `recorded/`: lines with the second in which they came, and how the program ended.
//! Differences that are meant have their sentence in [`expected`].

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use farloop_test_cluster::PATIENCE;
use farloop_test_cluster::bounded;
use farloop_test_cluster::node::{Node, Program};
use farloop_test_cluster::people::People;
use rustix::process::{Pid, Signal, kill_process};

/// A second of the tutorial.
const SECOND: Duration = Duration::from_millis(200);
/// How early a line may seem to come: both ends of a measurement are seen through a pipe.
const JITTER: Duration = Duration::from_millis(25);
/// How late: less than a second, or what happened at once could not be told from what came one by one.
const LATE: Duration = Duration::from_millis(150);
/// A machine that stood still is no fault of the program.
const TRIES: u32 = 8;

/// What a program must do.
#[derive(Debug)]
struct Expected {
    /// Lines and the second of each.
    lines: Vec<(u32, String)>,
    /// The second of the process in which the first line comes.
    begins: u32,
    /// When it ends by itself.
    ends: Option<u32>,
    /// When Ctrl-C is pressed, in tenths of a second.
    interrupt: Option<u32>,
}

fn recorded(name: &str) -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(include_str!("../recorded/tutorial_3.11.7.json")).unwrap();
    all[name].clone()
}

fn expected(name: &str) -> Expected {
    let recorded = recorded(name);
    let began = recorded["lines"][0][0].as_f64().unwrap_or_default();
    // The recorded times lag behind whole seconds, by what it took to start and to print.
    let second = |at: f64| (at - began + 0.05).floor() as u32;
    let mut lines: Vec<(u32, String)> = Vec::new();
    for line in recorded["lines"].as_array().unwrap() {
        let (at, text) = (line[0].as_f64().unwrap(), line[1].as_str().unwrap());
        // Warnings went to standard error; that of a coroutine never awaited is asked for separately.
        if !text.contains("RuntimeWarning") && !text.starts_with("  ") && text != "^C" {
            lines.push((second(at), normal(text)));
        }
    }
    let ends = (recorded["end"] == "exit 0").then(|| second(recorded["t"].as_f64().unwrap()));
    let mut interrupt = None;
    match name {
        // From 3.11 on asyncio refuses coroutines here; so does Rust's compiler. `wait_coros` does what 3.10 did.
        "S29" => lines = [(0, "Waiting 1"), (0, "Waiting 3"), (1, "Done"), (3, "Done"), (3, "2")].map(own).to_vec(),
        "S45" | "S46" => interrupt = Some(15),
        _ => {}
    }
    let ends = if name == "S29" { Some(3) } else { ends };
    // Of most programs the first line comes at once.
    let begins = began.floor() as u32;
    Expected { lines: sorted(lines), begins, ends, interrupt }
}

fn own((at, text): (u32, &str)) -> (u32, String) {
    (at, text.to_owned())
}

/// What two runs of one program have in common.
fn normal(line: &str) -> String {
    if let Some((before, seconds)) = line.split_once("Time: ")
        && let Ok(seconds) = seconds.parse::<f64>()
    {
        return format!("{before}Time: {}", seconds.floor());
    }
    if line.starts_with("TIME: ") {
        return "TIME: 0".to_owned();
    }
    if line.starts_with('{') || line.starts_with('[') {
        return format!("{} pending tasks", line.matches("<Task pending").count());
    }
    // Representations: the words, not addresses and places; and the unit is what None is there.
    if line.starts_with('<') {
        let line = &line.replace("result=null", "result=None");
        let word = |word: &str| line.contains(word).then(|| format!(" {word}"));
        let words = ["coroutine", "Task", "pending", "finished", "do_some_work", "result=None", "cb=["];
        return words.iter().filter_map(|w| word(w)).collect();
    }
    line.to_owned()
}

/// Lines of bodies that start at one instant may come in either order, from two loops of a worker; so may those of a
/// set, and those of two threads.
fn sorted(mut lines: Vec<(u32, String)>) -> Vec<(u32, String)> {
    let together = |line: &str| {
        let line = line.to_lowercase();
        ["waiting", "main thread", "more work"].iter().any(|word| line.starts_with(word))
    };
    for group in lines.chunk_by_mut(|a, b| a.0 == b.0 && together(&a.1) && together(&b.1)) {
        group.sort();
    }
    lines
}

/// The program as a process, its lines with the moment of each.
struct Run {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Run {
    fn start(name: &str, url: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asyncio"));
        command.arg(name).env("EXAMPLE_SECOND_MS", SECOND.as_millis().to_string()).env("RUST_LOG", "error");
        match url {
            Some(url) => command.env(farloop::runtime::ADDRESS_VARIABLE, url),
            None => command.env_remove(farloop::runtime::ADDRESS_VARIABLE),
        };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                drop(tell.send((Instant::now(), line)));
            }
        });
        Self { child, lines }
    }

    /// Plays it to its end, or until it has shown that it does not end.
    fn play(mut self, expected: &Expected) -> Played {
        let started = Instant::now();
        let mut lines: Vec<(Instant, String)> = Vec::new();
        let mut interrupt = expected.interrupt;
        loop {
            let next = match (interrupt, lines.first(), expected.ends) {
                (Some(tenths), Some((began, _)), _) if lines.len() == 3 => {
                    (*began + SECOND * tenths / 10).saturating_duration_since(Instant::now())
                }
                (_, _, None) if lines.len() == expected.lines.len() => SECOND,
                _ => PATIENCE,
            };
            match self.lines.recv_timeout(next) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Timeout) if interrupt.is_some() => {
                    interrupt = None;
                    kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
                }
                Err(_) => break,
            }
        }
        let over = Instant::now();
        let runs_on = self.child.try_wait().unwrap().is_none() && expected.ends.is_none();
        if runs_on {
            self.child.kill().unwrap();
        }
        let status = self.child.wait().unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        Played { started, over, lines, runs_on, good: status.success(), errors }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Debug)]
struct Played {
    started: Instant,
    over: Instant,
    lines: Vec<(Instant, String)>,
    runs_on: bool,
    good: bool,
    errors: String,
}

/// What is wrong with a run: `Late` may be the machine's fault.
enum Wrong {
    Late(String),
    Different(String),
}

fn judge(expected: &Expected, played: &Played) -> Result<(), Wrong> {
    let different = |what: String| Err(Wrong::Different(format!("{what}\n{played:#?}")));
    let began = played.lines.first().map_or(played.started, |(at, _)| *at);
    let seconds = |at: Instant| ((at - began + JITTER).as_secs_f64() / SECOND.as_secs_f64()).floor() as u32;
    let got: Vec<(u32, String)> = played.lines.iter().map(|(at, line)| (seconds(*at), normal(line))).collect();
    let texts = |lines: &[(u32, String)]| lines.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
    let limit = |second: u32| SECOND * second + LATE;
    // The times that a line of its own tells are seconds, too, and late on a machine that stood still.
    if began + JITTER < played.started + SECOND * expected.begins {
        return different(format!("its first line came before second {}", expected.begins));
    }
    let late = played.lines.iter().zip(&expected.lines).any(|((at, _), (second, _))| *at - began > limit(*second));
    let slow = |((_, got), (_, expected)): (&(u32, String), &(u32, String))| {
        let time = |line: &str| line.split_once("Time: ").and_then(|(_, seconds)| seconds.parse::<u32>().ok());
        time(got) > time(expected)
    };
    if late || got.iter().zip(&expected.lines).any(slow) {
        return Err(Wrong::Late(format!("{played:#?}")));
    }
    // Sorted by the expected second: order within one was settled there.
    let got_texts = texts(&sorted(got.iter().zip(&expected.lines).map(|((_, t), (s, _))| (*s, t.clone())).collect()));
    if got_texts != texts(&expected.lines) || got.len() != expected.lines.len() {
        return different(format!("expected {:#?}", expected.lines));
    }
    for ((at, line), (second, _)) in got.iter().zip(&expected.lines) {
        if at < second {
            return different(format!("'{line}' came in second {at}, and {second} was expected"));
        }
    }
    match expected.ends {
        None if !played.runs_on => different("it ended, and should go on".into()),
        Some(_) if !played.good => different("it ended badly".into()),
        Some(second) if seconds(played.over) < second => different(format!("it ended before second {second}")),
        Some(second) if played.over - began > limit(second) => Err(Wrong::Late(format!("{played:#?}"))),
        _ => Ok(()),
    }
}

fn programs() -> Vec<String> {
    let all: serde_json::Value = serde_json::from_str(include_str!("../recorded/tutorial_3.11.7.json")).unwrap();
    all.as_object().unwrap().keys().cloned().collect()
}

fn check(name: &str, url: Option<&str>) {
    let expected = expected(name);
    for again in 1..=TRIES {
        let played = Run::start(name, url).play(&expected);
        let warned = played.errors.contains("was never awaited");
        // Of S29 the recording has the warning of a refusal that is none here.
        let warns = name != "S29" && recorded(name)["lines"].to_string().contains("was never awaited");
        assert_eq!(warned, warns, "{name}: {}", played.errors);
        match judge(&expected, &played) {
            Ok(()) => return,
            Err(Wrong::Late(_)) if again < TRIES => {}
            Err(Wrong::Late(what)) => panic!("{name} is too late, {TRIES} times: {expected:#?}\n{what}"),
            Err(Wrong::Different(what)) => panic!("{name}: {what}"),
        }
    }
}

#[test]
fn every_example_prints_the_same_lines_at_the_same_times_in_one_process() {
    let programs = programs();
    assert_eq!(programs.len(), 30);
    for name in programs {
        check(&name, None);
    }
}

#[test]
fn every_example_prints_the_same_lines_at_the_same_times_on_a_cluster() {
    bounded(async {
        let (_coordinator, address) = Node::coordinator(env!("CARGO_BIN_EXE_cluster_node"));
        let url = format!("http://{address}");
        let worker = Program::new(env!("CARGO_BIN_EXE_asyncio")).arg("worker").at(&url).named("tutorial");
        let _worker = worker.env("EXAMPLE_SECOND_MS", &SECOND.as_millis().to_string()).start();
        People::at(&url).await.joined(&["tutorial"]).await;
        tokio::task::spawn_blocking(move || programs().iter().for_each(|name| check(name, Some(&url)))).await.unwrap();
    });
}
