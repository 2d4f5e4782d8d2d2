//! Actors anywhere: in a function, with names of every visibility, beside types that are called like ours.

#![deny(warnings)]
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

mod inner {
    pub struct Public {
        value: i64,
    }

    #[farloop::actor(name = "inner.Public")]
    impl Public {
        pub(crate) async fn new(value: i64) -> Result<Self, String> {
            Ok(Self { value })
        }
        pub(crate) async fn get(&self, #[state] factor: &i64) -> i64 {
            self.value * factor
        }
        pub(crate) fn r#type(&self) -> String {
            "public".to_owned()
        }
        fn helper(&self) -> &i64 {
            &self.value
        }
        #[cfg(any())]
        pub fn absent(&self) -> Absent {}
    }
}

/// Private, and all of it can be called here.
struct Private;

#[farloop::actor]
impl Private {
    fn new() -> Self {
        Self
    }
    async fn hello(&mut self, name: String) -> String {
        println!("hello {name}");
        name
    }
    async fn on_restart(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a client knows without the worker's code.
struct Remote;

#[farloop::actor(name = "shop.Remote", on_demand, idle = "1m")]
impl Remote {
    pub async fn new(name: String) -> Self;
    pub async fn add(&mut self, by: i64) -> i64;
    pub fn all(&self) -> impl farloop::Stream<Item = i64>;
}

type Result<T> = std::result::Result<T, ()>;

fn main() {
    struct Local(u8);
    #[farloop::actor(name = "x.Local")]
    impl Local {
        pub fn new() -> Self {
            Self(1)
        }
        pub fn get(&self) -> u8 {
            self.0
        }
    }
    let _: Result<()> = Ok(());
    let of = Remote::at("x");
    assert_eq!(of.name(), Some("x"));
    of.add(1).close();
    of.all().close();
    inner::Public::spawn(3).name("three").close();
    Private::lookup("x").close();
    Local::spawn().close();
    let three: inner::PublicRef = serde_json::from_str(r#"{"actor":"inner.Public","name":"three"}"#).unwrap();
    three.get().close();
    three.r#type().close();
    fn sends<T: Send + Sync + Clone + std::fmt::Debug + std::hash::Hash + Eq>(_: &T) {}
    sends(&three);
    fn travels(of: impl Send) {
        drop(of);
    }
    travels(async move { three.get().await });
}
