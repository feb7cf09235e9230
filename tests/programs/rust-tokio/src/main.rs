//! Tokio: tasks on a runtime of several threads, timers, timeouts, channels, a pair of unix
//! sockets, blocking work.

#[path = "../../common/program.rs"]
mod program;

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// A task that is there before the freeze and answers in requests.
async fn adder(mut questions: mpsc::Receiver<(u32, oneshot::Sender<u32>)>) {
    let mut sum = 0;
    while let Some((number, reply)) = questions.recv().await {
        sum += number;
        let _ = reply.send(sum);
        sum = 0;
    }
}

/// Text through a pair of sockets and back.
async fn echoed(text: String) -> String {
    let (mut near, mut far) = UnixStream::pair().expect("sockets");
    let echo = tokio::spawn(async move {
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.expect("read");
        bytes.reverse();
        far.write_all(&bytes).await.expect("write");
    });
    near.write_all(text.as_bytes()).await.expect("write");
    near.shutdown().await.expect("shutdown");
    let mut back = String::new();
    near.read_to_string(&mut back).await.expect("read");
    echo.await.expect("no panic");
    back
}

/// Many tasks, of which some sleep.
async fn many(number: u32) -> u32 {
    let tasks: Vec<_> = (0..16)
        .map(|i| {
            tokio::spawn(async move {
                if i % 8 == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
                tokio::task::yield_now().await;
                i * number
            })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.expect("no panic");
    }
    sum
}

async fn answer(number: u32, adder: mpsc::Sender<(u32, oneshot::Sender<u32>)>) -> String {
    let (reply, added) = oneshot::channel();
    adder.send((number, reply)).await.expect("the task listens");
    let blocking =
        tokio::task::spawn_blocking(move || (1..=u64::from(number % 15)).product::<u64>());
    let never = timeout(Duration::from_millis(1), std::future::pending::<()>());
    let (many, echoed, never) = tokio::join!(many(number), echoed(format!("echo {number}")), never);
    format!(
        "{many} {echoed} {} {} {}",
        never.is_err(),
        added.await.expect("the task answers"),
        blocking.await.expect("no panic"),
    )
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (questions, incoming) = mpsc::channel(4);
    runtime.spawn(adder(incoming));
    program::serve(
        |number| runtime.block_on(answer(number, questions.clone())),
        || uuid::Uuid::new_v4().to_string(),
        || SmallRng::from_os_rng().random::<u64>().to_string(),
    );
}
