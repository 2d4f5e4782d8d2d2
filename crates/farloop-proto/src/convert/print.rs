//! What bodies print.

use farloop_core::frame::{Print, Stdio};

use super::WireError;
use crate::v1;

pub(super) fn to_wire(print: Print) -> v1::Print {
    let stream = match print.stream {
        Stdio::Out => v1::Stdio::Out,
        Stdio::Err => v1::Stdio::Err,
    };
    v1::Print { stream: stream.into(), text: print.text, lost: print.lost }
}

/// Reads what must be there.
pub(super) fn from_wire(print: Option<v1::Print>) -> Result<Print, WireError> {
    let print = print.ok_or(WireError::Missing("what was printed"))?;
    let stream = match print.stream() {
        v1::Stdio::Out => Stdio::Out,
        v1::Stdio::Err => Stdio::Err,
        v1::Stdio::Unspecified => return Err(WireError::Unknown { what: "stream", value: print.stream }),
    };
    Ok(Print { stream, text: print.text, lost: print.lost })
}
