//! Actors: coroutines that stay.
//!
//! ```sh
//! cargo run --example actors                   # which ones there are
//! cargo run --example actors -- chat           # that one, with the actors in this process
//!
//! cargo run --bin farloop -- coordinator &     # or: the actors on workers of a cluster
//! cargo run --example actors -- worker &
//! FARLOOP_ADDRESS=http://127.0.0.1:7171 cargo run --example actors -- chat
//! ```

mod chat_room;
mod counter;
mod device_session;
mod pipeline;
mod rate_limiter;

#[farloop::main]
async fn main() -> farloop::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("counter") => counter::run().await,
        Some("chat") => chat_room::run().await,
        Some("limiter") => rate_limiter::run().await,
        Some("devices") => device_session::run().await,
        Some("pipeline") => pipeline::run().await,
        Some("worker") => worker().await,
        _ => {
            println!("counter   state that is called, shared, named, and fails");
            println!("chat      a room that streams what is said to everybody in it");
            println!("limiter   a token bucket: interleaved calls that wait inside of the actor");
            println!("devices   an actor per device, made on demand, asleep while nobody calls");
            println!("pipeline  streams from actor to actor, at the pace of the last one");
            Ok(())
        }
    }
}

/// What a worker of a cluster offers.
async fn worker() -> farloop::Result<()> {
    farloop::Worker::from_env()
        .actor::<counter::Counter>()
        .actor::<chat_room::Room>()
        .actor::<rate_limiter::Limiter>()
        .actor::<device_session::Device>()
        .actor::<pipeline::Source>()
        .actor::<pipeline::Doubler>()
        .run()
        .await
}
