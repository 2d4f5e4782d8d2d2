//! The macro sees names only; the compiler sees the alias.
type Answer = Result<i64, std::num::ParseIntError>;

#[farloop::task]
async fn parse(text: String) -> Answer {
    text.parse()
}

fn main() {}
