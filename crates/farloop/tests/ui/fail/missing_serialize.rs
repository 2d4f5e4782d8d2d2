//! Arguments and results travel.
struct Point {
    x: i64,
}

#[farloop::task]
async fn takes(point: Point) -> i64 {
    point.x
}

#[farloop::task]
async fn gives(x: i64) -> Point {
    Point { x }
}

fn main() {}
