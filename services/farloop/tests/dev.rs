//! `farloop dev` and the coordinator as people start them: what they print works as pasted, their end takes all with
//! them, and what is wrong is said.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod shell;

use std::process::Command;
use std::time::{Duration, Instant};

use shell::{Process, farloop};

/// The word after that heading of the banner.
fn of<'a>(banner: &'a [String], heading: &str) -> &'a str {
    let line = banner.iter().find(|line| line.trim_start().starts_with(heading));
    line.unwrap_or_else(|| panic!("no '{heading}' in {banner:?}")).trim_start()[heading.len()..].trim()
}

fn grpcurl() -> Option<String> {
    let named = std::env::var("GRPCURL").unwrap_or_else(|_| "grpcurl".into());
    Command::new(&named).arg("-version").output().is_ok_and(|out| out.status.success()).then_some(named)
}

#[test]
fn what_the_banner_says_works_as_pasted() {
    let mut dev = Process::start(farloop(&["dev", "--port", "0", "--workers", "1", "--token", "open-sesame"]));
    let banner = dev.lines_until("Ctrl-C");
    let address = of(&banner, "coordinator").to_owned();
    assert!(!address.ends_with(":0") && address.starts_with("http://127.0.0.1:"), "{address}");
    assert_eq!(of(&banner, "token"), "open-sesame");

    // The command of the banner, with this binary for the one in the path.
    let path = format!("{}:{}", shell::directory(), std::env::var("PATH").unwrap_or_default());
    let pasted = |line: &str| Command::new("sh").arg("-c").arg(line).env("PATH", &path).output().unwrap();
    let ran = pasted(of(&banner, "try"));
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), "5");
    match grpcurl() {
        Some(grpcurl) => {
            let line = of(&banner, "grpcurl").replacen("grpcurl", &grpcurl, 1);
            let ran = pasted(&line);
            assert!(ran.status.success(), "{line}: {ran:?}");
            assert!(String::from_utf8_lossy(&ran.stdout).contains("taskId"), "{ran:?}");
        }
        None => eprintln!("no grpcurl here: its line of the banner was not run"),
    }
    // Without the token nobody gets in.
    let refused = farloop(&["list", "--address", &address]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("TOKEN_REQUIRED"), "{refused:?}");
    assert!(dev.ends_on_terminate().success());
}

#[test]
fn dev_starts_a_program_of_ones_own_says_when_it_dies_and_ends_it() {
    let script = "echo worker=$$ at=$FARLOOP_ADDRESS token=$FARLOOP_TOKEN; sleep 100 & wait";
    let words = ["dev", "--port", "0", "--token", "t", "--", "sh", "-c", script];
    let mut dev = Process::start(farloop(&words));
    let mut lines = dev.lines_until("Ctrl-C");
    // The banner shows the command itself: only the shell knows the address.
    lines.extend(dev.lines_until_any(&lines.clone(), "at=http"));
    let said = lines.iter().find(|line| line.starts_with("worker=")).unwrap().clone();
    assert!(said.contains(&format!("at={} token=t", of(&lines, "coordinator"))), "{said}");
    let pid: i32 = said.split(['=', ' ']).nth(1).unwrap().parse().unwrap();
    let alive = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(alive());
    let began = Instant::now();
    assert!(dev.ends_on_terminate().success());
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert!(!alive(), "it ends with dev");

    let mut dev = Process::start(farloop(&["dev", "--port", "0", "--", "sh", "-c", "exit 3"]));
    let told = dev.errors_until("FARLOOP_ADDRESS=");
    assert!(told.iter().any(|line| line == "worker dev-0 ended with exit code 3; 0 workers are left"), "{told:?}");
    assert!(dev.ends_on_terminate().success());

    let missing = farloop(&["dev", "--port", "0", "--", "no-such-program"]).output().unwrap();
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(!missing.status.success() && said.contains("did not start: no-such-program"), "{said}");
}

#[test]
fn a_busy_port_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for command in ["dev", "coordinator"] {
        let refused = farloop(&[command, "--port", &port]).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("127.0.0.1:{port} is taken")) && said.contains("--port 0"), "{said}");
    }
}

#[test]
fn flags_come_from_the_environment_too() {
    let mut command = farloop(&["coordinator"]);
    command.env("FARLOOP_PORT", "0").env("FARLOOP_STOP_SECONDS", "1");
    let mut coordinator = Process::start(command);
    let lines = coordinator.lines_until("listening on");
    let address = lines.last().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(!address.ends_with(":0"), "the chosen port is printed: {address}");
    let mut health = farloop(&["health"]);
    assert!(health.env("FARLOOP_ADDRESS", &address).env("FARLOOP_HEALTH_READY", "true").status().unwrap().success());
    assert!(coordinator.ends_on_terminate().success());
}
