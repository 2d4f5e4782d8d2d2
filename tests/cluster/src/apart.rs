//! A network of two hosts, made by the test and gone with it, whose cable can be cut: the test, its coordinator and
//! whatever else it starts are on one, the *near* host, and workers that are started [`far`](Apart::far) on the other.
//!
//! Both are network namespaces. That of the near host is the test's own: its binary is run once more in one, so that
//! nothing outside of it is touched and nothing has to be cleaned up; processes end, and the kernel forgets the rest.
//! It needs `unshare` of util-linux and `ip` of iproute2, and root or user namespaces; to cut one way only, `nft` of
//! nftables. Where these are missing a test says so and is skipped.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::node::{Node, Program};

/// Set in the near host.
const INSIDE: &str = "FARLOOP_TEST_APART";
/// Beyond loopback a coordinator wants one. This guards nothing: the network is the test's own.
const TOKEN: &str = "token-of-a-network-that-is-gone-with-its-test";
/// Addresses of the two.
const NEAR: &str = "10.77.0.1";
const FAR: &str = "10.77.0.2";

/// What the far host runs until it has a cable.
const WAIT_FOR_CABLE: &str = "echo ready; until ip link show fl-far >/dev/null 2>&1; do sleep 0.05; done; \
                              ip address add \"$1/30\" dev fl-far && ip link set fl-far up && exec \"$0\"";

/// What does not arrive any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Anything.
    Both,
    /// What the far host says.
    FromFar,
    /// What it is told.
    ToFar,
}

/// The near host, from inside.
#[derive(Debug)]
pub struct Apart {
    filter: bool,
}

/// Runs a test, of that full name, on a near host of its own, or says why it is skipped.
///
/// # Panics
/// As the test does.
pub fn apart(name: &str, cut: Cut, test: impl FnOnce(&Apart)) {
    if std::env::var_os(INSIDE).is_some() {
        sh("ip link set lo up").expect("a namespace of one's own has a loopback");
        return test(&Apart { filter: sh(FILTER).is_ok() });
    }
    let Some(unshare) = ways_in().find(|words| allows(words, cut)) else {
        let tools = if cut == Cut::Both { "`ip`" } else { "`ip` and `nft`" };
        let why = format!(
            "{name} is SKIPPED: it cuts a network of its own, and for that needs {tools}, and root or user namespaces\n"
        );
        // Past what the harness keeps of tests that pass: nobody should take this for a pass.
        drop(std::io::stderr().write_all(why.as_bytes()));
        return;
    };
    let own = std::env::current_exe().expect("a running program has a path");
    let inside = Command::new("unshare")
        .args(unshare)
        .arg(own)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "")
        .env("FARLOOP_TOKEN", TOKEN)
        .stdin(Stdio::null())
        .output();
    let inside = inside.expect("what was run before can be run again");
    let (out, err) = (String::from_utf8_lossy(&inside.stdout), String::from_utf8_lossy(&inside.stderr));
    println!("{out}{err}");
    assert!(inside.status.success(), "inside of its network it fails: {}", inside.status);
    assert!(out.contains("1 passed"), "inside of its network there is no test {name}");
}

/// With user namespaces, and as root without.
fn ways_in() -> impl Iterator<Item = &'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--map-root-user", "--net"], &["--net"]];
    ways.into_iter()
}

/// A filter that drops nothing yet.
const FILTER: &str = "nft 'add table inet farloop; \
                      add chain inet farloop in { type filter hook input priority 0; }; \
                      add chain inet farloop out { type filter hook output priority 0; }'";

/// Whether a network can be made in this way, and be cut.
fn allows(unshare: &[&str], cut: Cut) -> bool {
    let cable = "unshare --net true && ip link add fl-near type veth peer name fl-far";
    let probe = if cut == Cut::Both { cable.to_owned() } else { format!("{cable} && {FILTER}") };
    let mut command = Command::new("unshare");
    command.args(unshare).arg("sh").arg("-c").arg(probe).stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

fn sh(script: &str) -> Result<(), String> {
    let output = Command::new("sh").arg("-c").arg(script).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{script}: {said}")) }
}

impl Apart {
    /// A coordinator that both hosts reach: its port.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn coordinator(&self, binary: &str) -> (Node, u16) {
        let program = Program::new(binary).arg("coordinator").arg("--listen").arg("0.0.0.0:0");
        let node = program.env("FARLOOP_TOKEN", TOKEN).start();
        let line = node.line();
        let port = line.rsplit(':').next().and_then(|word| word.parse().ok());
        (node, port.unwrap_or_else(|| panic!("'{line}' ends with a port")))
    }

    /// The coordinator, for what is near.
    #[must_use]
    pub fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// A worker on the near host.
    #[must_use]
    pub fn near(&self, binary: &str, port: u16) -> Program {
        Program::new(binary).at(&self.url(port)).env("FARLOOP_TOKEN", TOKEN)
    }

    /// A worker on the far host, which is made for it: `about` says what else there is to say about it.
    ///
    /// # Panics
    /// If that fails.
    pub fn far(&self, binary: &str, port: u16, about: impl FnOnce(Program) -> Program) -> Node {
        let program =
            ["--net", "sh", "-c", WAIT_FOR_CABLE, binary, FAR].iter().fold(Program::new("unshare"), |p, w| p.arg(w));
        let node = about(program.at(&format!("http://{NEAR}:{port}")).env("FARLOOP_TOKEN", TOKEN)).start();
        assert_eq!(node.line(), "ready");
        let pid = node.pid();
        sh(&format!(
            "ip link add fl-near type veth peer name fl-far netns {pid} && ip address add {NEAR}/30 dev fl-near && \
             ip link set fl-near up"
        ))
        .expect("a cable between two namespaces");
        node
    }

    /// Cuts the cable. Nobody is told: what is sent just does not arrive.
    ///
    /// # Panics
    /// If it cannot be cut.
    pub fn cut(&self, cut: Cut) {
        let drops = |chain: &str, way: &str| format!("nft 'add rule inet farloop {chain} {way} fl-near drop'");
        let script = match cut {
            Cut::Both if !self.filter => "ip link set fl-near down".to_owned(),
            Cut::Both => format!("{} && {}", drops("in", "iifname"), drops("out", "oifname")),
            Cut::FromFar => drops("in", "iifname"),
            Cut::ToFar => drops("out", "oifname"),
        };
        sh(&script).expect("a cable of one's own can be cut");
    }

    /// Mends it.
    ///
    /// # Panics
    /// If it cannot be mended.
    pub fn heal(&self) {
        sh(if self.filter { "nft flush table inet farloop" } else { "ip link set fl-near up" }).expect("it is mended");
    }
}
