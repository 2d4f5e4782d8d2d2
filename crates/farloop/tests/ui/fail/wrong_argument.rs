//! What may stand for an argument.
#[farloop::task]
async fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[farloop::task]
async fn greet(name: String) -> String {
    name
}

fn main() {
    add(1, "two").close();
    let task = farloop::ensure_future(greet("you"));
    add(1, &task).close();
    add(1, add(2, 3)).close();
}
