//! What people read from the compiler, word for word. What must compile is in `compiles`: it is built as tests are.

#[test]
fn messages() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/fail/*.rs");
    // The rows of asyncio's behaviour that Rust makes impossible: their programs do not compile, for the reason recorded.
    cases.compile_fail("tests/ui/impossible/*.rs");
}
