//! The rows that Rust makes impossible: their programs do not compile, for the reason that is recorded next to them.

#[test]
fn what_is_impossible_does_not_compile() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
