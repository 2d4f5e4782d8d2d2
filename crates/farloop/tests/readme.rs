//! The README shows what the example runs.

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn the_readme_shows_the_quickstart_as_it_is() {
    let readme = include_str!("../../../README.md");
    let example = include_str!("../examples/quickstart.rs");
    let program = &example[example.find("use farloop::prelude").unwrap()..];
    assert!(squeezed(readme).contains(&squeezed(program)), "README.md and examples/quickstart.rs differ");
}
