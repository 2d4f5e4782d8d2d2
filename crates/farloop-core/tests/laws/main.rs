//! The laws, one test or more each, driven through the core's inputs and outputs.

mod driver;

use driver::*;
use farloop_core::outcome::Outcome;

#[test]
fn l3_a_task_runs_and_its_outcome_comes_back_once() {
    let mut c = Cluster::new();
    let (client, worker) = (c.client(1), c.worker(2, &["f"], 4));
    c.submit(client, id(1), spec("f"));
    assert_eq!(c.starts(worker).len(), 1);
    c.end(id(1), returned("value"));
    assert_eq!(c.outcome(client, id(1)), returned("value"));
    assert_eq!(c.core.stats().live, 0);
    assert!(matches!(c.view(id(1)).outcome, Some(Outcome::Returned(_))));
}
