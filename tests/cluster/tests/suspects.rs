//! A task that kills its workers is found out, with what is known of each, and who only ran beside it is not blamed.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use farloop::prelude::*;
use farloop_test_cluster::bounded;
use farloop_test_cluster::node::{ORPHANS_END, Program};
use farloop_test_cluster::tally::Tally;
use farloop_test_cluster::tasks::{deadly, gated};

#[test]
fn a_task_that_kills_its_worker_fails_with_a_dossier_and_a_bystander_returns() {
    bounded(async {
        let tally = Tally::new();
        let dev = Program::new(env!("CARGO_BIN_EXE_cluster_node")).tally(&tally).env(ORPHANS_END, "");
        let dev = ["dev", "--port", "0", "--restart", "--", env!("CARGO_BIN_EXE_counting_worker")]
            .iter()
            .fold(dev, |dev, word| dev.arg(word))
            .start();
        let url = loop {
            let line = dev.line();
            if let Some(url) = line.split_whitespace().find(|word| word.starts_with("http://")) {
                break url.to_owned();
            }
        };
        let _event_loop = farloop::connect(&url).await.unwrap();
        let killer = ensure_future(deadly("killer"));
        let bystander = ensure_future(gated("bystander", "gate").max_crashes(1));

        let error = killer.await.unwrap_err();
        let crashes = error.failure().unwrap().crashes();
        assert_eq!(crashes.len(), 3, "{error}");
        assert_eq!(crashes.last().unwrap().company, 0, "blamed only after a run alone: {error}");
        assert!(crashes[..2].iter().all(|lost| lost.company == 1), "{crashes:?}");
        for lost in crashes {
            assert!(lost.ending.as_ref().unwrap().starts_with("signal 9 (SIGKILL)"), "{lost:?}");
            assert_eq!(lost.log, "killer takes aim\nkiller shoots\n", "{lost:?}");
            assert!(lost.name == "dev-0" && lost.at_ms > 0, "{lost:?}");
        }
        assert!(error.to_string().contains("killer takes aim / killer shoots"), "{error}");

        tally.open("gate");
        assert!(bystander.await.unwrap() > 0);
    });
}
