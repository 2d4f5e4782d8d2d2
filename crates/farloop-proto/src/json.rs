//! Payloads as people read and type them.
