//! The client commands against a cluster of processes: what they print, and how they end.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod shell;

use shell::{Process, farloop};

struct Cluster {
    address: String,
    _dev: Process,
}

impl Cluster {
    fn start() -> Self {
        let dev = Process::start(farloop(&["dev", "--port", "0", "--workers", "1"]));
        let banner = dev.lines_until("Ctrl-C");
        let address = banner.iter().find_map(|line| line.trim().strip_prefix("coordinator")).unwrap().trim().to_owned();
        let cluster = Self { address, _dev: dev };
        // The first call waits for the worker.
        assert_eq!(cluster.ok(&["run", "demo.add", "2", "3"]).trim(), "5");
        cluster
    }

    /// Exit code, and what was printed.
    fn says(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let ran = farloop(words).env("FARLOOP_ADDRESS", &self.address).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
    }

    fn ok(&self, words: &[&str]) -> String {
        let (code, out, errors) = self.says(words);
        assert_eq!(code, Some(0), "{words:?}: {out}{errors}");
        out
    }
}

#[test]
fn every_client_command_says_what_it_should() {
    let cluster = Cluster::start();
    let sleeper = cluster.ok(&["run", "--detach", "demo.sleep", "3600"]).trim().to_owned();
    let ending = &sleeper[sleeper.len() - 8..];

    let (_, table, footer) = cluster.says(&["list"]);
    assert!(table.starts_with("ID        FUNCTION    STATE"), "{table}");
    assert!(table.contains(ending) && table.contains("demo.add"), "{table}");
    assert!(footer.contains("2 of 2 (0 dropped by retention)"), "{footer}");
    let done = cluster.ok(&["list", "--filter", "state=SUCCEEDED", "-o", "json"]);
    let done: serde_json::Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done["totalSize"], &done["tasks"][0]["result"]["json"]), (&1.into(), &serde_json::json!(5.0)));

    let got: serde_json::Value = serde_json::from_str(&cluster.ok(&["get", ending])).unwrap();
    assert_eq!(got["taskId"], sleeper.as_str());
    assert!(cluster.ok(&["explain", ending]).contains("attempt 1 is suspended"));
    assert!(cluster.ok(&["workers"]).contains("dev-0"));
    assert!(cluster.ok(&["functions"]).contains("(a: i64, b: i64)"));
    assert!(cluster.ok(&["info"]).contains("MAX_PAYLOAD"));
    assert!(cluster.ok(&["api", "ClusterService/ListWorkers"]).contains("\"displayName\": \"dev-0\""));

    let (code, out, late) = cluster.says(&["wait", ending, "--timeout", "0.1"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(late.contains(&format!("still pending after 0.1 s: {sleeper}")), "{late}");
    let mut watcher = farloop(&["watch", "--filter", "function=demo.sleep"]);
    watcher.env("FARLOOP_ADDRESS", &cluster.address);
    let mut watcher = Process::start(watcher);
    watcher.errors_until("what follows is live");
    assert!(cluster.ok(&["cancel", ending, "--message", "enough"]).contains("asked to stop"));
    let (code, out, _) = cluster.says(&["wait", ending]);
    assert_eq!((code, out.trim()), (Some(1), format!("{sleeper}  cancelled  enough").as_str()));
    watcher.lines_until("cancelled");
    assert_eq!(watcher.ends_on_terminate().code(), Some(130));
    assert!(cluster.ok(&["cancel", ending]).contains("was over already"));
}

#[test]
fn actors_are_made_called_watched_and_stopped() {
    let cluster = Cluster::start();
    let types = cluster.ok(&["actor", "types"]);
    assert!(types.contains("demo.Counter") && types.contains("add(by: i64) -> i64"), "{types}");
    let id = cluster.ok(&["actor", "spawn", "demo.Counter/page", "1"]).trim().to_owned();
    let mut watcher = farloop(&["actor", "watch", "demo.Counter/page"]);
    watcher.env("FARLOOP_ADDRESS", &cluster.address);
    let watcher = Process::start(watcher);
    watcher.lines_until("up");
    assert_eq!(cluster.ok(&["actor", "call", "demo.Counter/page", "add", "2"]).trim(), "3.0");
    let told = cluster.ok(&["actor", "tell", &id[id.len() - 8..], "add", "4"]);
    cluster.ok(&["wait", told.trim()]);
    let got: serde_json::Value = serde_json::from_str(&cluster.ok(&["actor", "get", &id])).unwrap();
    assert_eq!((&got["servedCalls"], &got["state"]), (&2.into(), &"ACTOR_STATE_UP".into()));
    let (_, table, footer) = cluster.says(&["actors", "--type", "demo.Counter"]);
    assert!(table.starts_with("ID        TYPE          NAME  STATE") && footer.contains("1 of 1"), "{table}{footer}");
    let (code, _, late) = cluster.says(&["actor", "call", &id, "after", "1", "--timeout", "0.1"]);
    assert!(code == Some(1) && late.contains("`farloop wait "), "{late}");
    let (code, _, panicked) = cluster.says(&["actor", "call", &id, "panics", "enough"]);
    assert!(code == Some(1) && panicked.contains("enough"), "{panicked}");
    let (code, _, wrong) = cluster.says(&["actor", "call", &id, "ad", "1"]);
    assert!(code == Some(1) && wrong.contains("did you mean 'add'? (METHOD_NOT_FOUND)"), "{wrong}");
    assert!(cluster.ok(&["actor", "stop", "demo.Counter/page"]).contains("demo.Counter/page: stopped"));
    watcher.lines_until("stopped");
    let (code, _, far) = cluster.says(&["actor", "spawn", "demo.Counter", "1", "--on", "zone=eu", "--timeout", "0.1"]);
    assert!(code == Some(1) && far.contains("`farloop explain "), "{far}");
    let all = cluster.ok(&["actors", "--all", "-o", "json"]);
    assert!(all.contains("ACTOR_STATE_STOPPED") && all.contains("ACTOR_STATE_PENDING"), "{all}");
}

#[test]
fn what_is_wrong_is_said_with_the_reason() {
    let cluster = Cluster::start();
    for (words, says) in [
        (&["get", "ffffffff"][..], "no task that is known here ends in 'ffffffff' (TASK_NOT_FOUND)"),
        (&["list", "--filter", "state=DONE"], "`DONE` is no state"),
        (&["drain", "nobody"], "no worker id"),
        (&["api", "TaskService/Nothing"], "has no method Nothing; it has SubmitTask"),
        (&["api", "TaskService/GetTask", "-d", "{\"nmae\":1}"], "nmae"),
        (&["run", "demo.add", "2"], "demo.add"),
        (&["run", "demo.add", "two", "3"], "demo.add"),
        (&["list", "--address", "127.0.0.1:1"], "nobody answers at http://127.0.0.1:1; start a coordinator"),
    ] {
        let (code, _, errors) = cluster.says(words);
        assert_eq!(code, Some(1), "{words:?}: {errors}");
        assert!(errors.contains(says), "{words:?} should say '{says}': {errors}");
    }
}
