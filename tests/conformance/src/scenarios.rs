//! The scenarios, named by their row of the table and grouped by its areas. Each is the twin of a recorded probe: the same
//! program, run on farloop, with the probe's journal and value as the expectation.

pub mod ac;
pub mod ca;
pub mod cb;
pub mod co;
pub mod er;
pub mod fu;
pub mod ga;
pub mod inside;
pub mod lo;
pub mod ne;
pub mod ru;
pub mod sc;
pub mod sh;
pub mod sy;
pub mod tg;
pub mod th;
pub mod ti;
pub mod to;
pub mod ts;
pub mod wa;
pub mod wf;
