//! What reaches the exception handler, per scenario. The handler is one for the process; each scenario has a thread of its
//! own, and what its loop reports is reported there.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static WHOLE: RefCell<Vec<farloop::Report>> = const { RefCell::new(Vec::new()) };
    static REPORTS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Collects on this thread from now on.
pub(crate) fn collect() {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        farloop::set_exception_handler(Some(Box::new(|report: &farloop::Report| {
            WHOLE.with_borrow_mut(|reports| reports.push(report.clone()));
            // Slow polls are about the machine, not about the program.
            let about_the_machine = report.error.is_none() && report.message.contains("held its event loop");
            let text = match &report.error {
                Some(error) => format!("{} | {}", report.message, crate::python::ex(error)),
                None => report.message.clone(),
            };
            if !about_the_machine {
                REPORTS.with_borrow_mut(|reports| reports.iter_mut().for_each(|reports| reports.push(text.clone())));
            }
        })));
    });
    REPORTS.set(Some(Vec::new()));
    WHOLE.take();
}

/// What came, whole; those about the machine, too.
pub(crate) fn take_whole() -> Vec<farloop::Report> {
    WHOLE.take()
}

/// What came, and goes on collecting.
pub(crate) fn take() -> Vec<String> {
    REPORTS.with_borrow_mut(|reports| reports.as_mut().map(std::mem::take).unwrap_or_default())
}
