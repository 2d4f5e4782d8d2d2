//! A borrow cannot travel.
#[farloop::task]
async fn len(text: &str) -> usize {
    text.len()
}

#[farloop::task]
async fn nested(texts: Vec<std::borrow::Cow<'_, str>>) -> usize {
    texts.len()
}

#[farloop::task]
async fn back(n: usize) -> &'static str {
    "text"
}

fn main() {}
