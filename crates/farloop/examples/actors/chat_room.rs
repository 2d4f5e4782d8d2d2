//! A room: everybody who listens gets what is said, at his own pace.

use farloop::Stream;
use farloop::actor::Interleaved;
use farloop::prelude::*;
use futures_util::stream;
use tokio::sync::broadcast;

pub(crate) struct Room {
    said: broadcast::Sender<String>,
    members: u32,
}

#[farloop::actor(name = "examples.Room")]
impl Room {
    pub fn new() -> Self {
        Room { said: broadcast::channel(64).0, members: 0 }
    }

    #[farloop(interleave)]
    pub async fn say(this: &Interleaved<Self>, who: String, text: String) -> u32 {
        this.with(|room| {
            // Nobody listens: then nobody does.
            let _ = room.said.send(format!("{who}: {text}"));
            room.members
        })
    }

    /// Stays as long as its consumer does, so others run meanwhile.
    #[farloop(interleave)]
    pub fn listen(this: &Interleaved<Self>) -> impl Stream<Item = String> + use<> {
        let said = this.with(|room| {
            room.members += 1;
            room.said.subscribe()
        });
        stream::unfold((said, Member(this.clone())), |(mut said, member)| async move {
            let line = said.recv().await.ok()?;
            Some((line, (said, member)))
        })
    }
}

/// However a listener goes.
struct Member(Interleaved<Room>);

impl Drop for Member {
    fn drop(&mut self) {
        self.0.with(|room| room.members -= 1);
    }
}

pub(crate) async fn run() -> farloop::Result<()> {
    let room = Room::spawn().await?;
    let (mut ada, mut bob) = (room.listen().start(), room.listen().start());
    while room.say("host", "welcome").await? < 2 {
        farloop::sleep(Duration::from_millis(10)).await?;
    }
    room.say("ada", "hello").await?;
    for (name, lines) in [("ada", &mut ada), ("bob", &mut bob)] {
        while let Some(line) = lines.next().await {
            let line = line?;
            println!("{name} hears {line}");
            if line.starts_with("ada") {
                break;
            }
        }
    }
    drop(bob); // leaves the room
    ada.close();
    room.stop().await
}
