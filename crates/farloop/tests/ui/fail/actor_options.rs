//! Options of a type of actors.

struct A;
#[farloop::actor(mailbox = 0)]
impl A {
    pub fn new() -> Self {
        A
    }
}

struct B;
#[farloop::actor(on_demand)]
impl B {
    pub fn new(start: i64) -> Self {
        drop(start);
        B
    }
}

struct C;
#[farloop::actor(idle = "5m")]
impl C {
    pub fn new() -> Self {
        C
    }
}

struct D;
#[farloop::actor(restart = "sometimes")]
impl D {
    pub fn new() -> Self {
        D
    }
}

struct E;
#[farloop::actor(attempts = 3)]
impl E {
    pub fn new() -> Self {
        E
    }
}

struct F;
#[farloop::actor(snapshot = true)]
impl F {
    pub fn new() -> Self {
        F
    }
}

fn main() {}
