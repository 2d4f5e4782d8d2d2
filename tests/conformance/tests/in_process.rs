//! Every scenario on three workers on one virtual clock.

use farloop_test_conformance::process;
use farloop_test_conformance::report::{self, Selection};
use farloop_test_conformance::run::Backend;

#[test]
fn every_scenario_holds() {
    process::use_binary(env!("CARGO_BIN_EXE_conformance_worker"));
    let selection = Selection { backends: vec![Backend::InProcess], ..Selection::default() };
    let outcome = report::run(selection).expect("the scenarios can be run");
    assert_eq!(outcome.counts().failed, 0, "{}", outcome.text());
}
