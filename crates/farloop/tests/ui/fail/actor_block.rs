//! What is no type of actors.

#[farloop::actor]
struct OnTheStruct;

struct Generic<T>(T);
#[farloop::actor]
impl<T> Generic<T> {
    pub fn new(value: T) -> Self {
        Self(value)
    }
}

struct Text;
#[farloop::actor]
impl std::fmt::Display for Text {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

struct Stateless;
#[farloop::actor]
impl Stateless {
    pub async fn add(&mut self, by: i64) -> i64 {
        by
    }
}

struct Half;
#[farloop::actor]
impl Half {
    pub fn new() -> Self;
    pub fn get(&self) -> i64 {
        1
    }
}

fn main() {}
