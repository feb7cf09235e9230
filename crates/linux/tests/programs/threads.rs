//! Threads of the Rust library: channels, scopes, parking, locks, panics.

use std::cell::Cell;
use std::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

thread_local! {
    static OWN: Cell<u32> = const { Cell::new(1) };
}

fn main() {
    let (sender, receiver) = channel();
    for number in 0..16_u64 {
        let sender = sender.clone();
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                OWN.set(number as u32);
                for step in 0..100 {
                    sender.send(number * 100 + step).unwrap();
                }
                assert_eq!(OWN.get(), number as u32);
                assert_eq!(thread::current().name(), Some(&*format!("worker-{number}")));
            })
            .unwrap();
    }
    drop(sender);
    assert_eq!(receiver.iter().sum::<u64>(), (0..1600).sum());
    assert_eq!(OWN.get(), 1);

    let (full, empty) = sync_channel(1);
    let counter = thread::spawn(move || empty.iter().count());
    for number in 0..100 {
        full.send(number).unwrap();
    }
    drop(full);
    assert_eq!(counter.join().unwrap(), 100);

    let mut parts = vec![0_u64; 8];
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for (index, part) in parts.iter_mut().enumerate() {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                *part = index as u64 * 2;
            });
        }
    });
    assert_eq!(parts.iter().sum::<u64>(), 56);

    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let other = Arc::clone(&pair);
    let setter = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        *other.0.lock().unwrap() = true;
        other.1.notify_all();
    });
    let mut ready = pair.0.lock().unwrap();
    while !*ready {
        ready = pair.1.wait(ready).unwrap();
    }
    drop(ready);
    setter.join().unwrap();

    let parked = thread::spawn(thread::park);
    parked.thread().unpark();
    parked.join().unwrap();
    thread::park_timeout(Duration::from_millis(2));

    let lock = Arc::new(RwLock::new(0));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let lock = Arc::clone(&lock);
            thread::spawn(move || (0..100).for_each(|_| *lock.write().unwrap() += 1))
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(*lock.read().unwrap(), 400);

    let (_kept, silent) = channel::<()>();
    let nothing = silent.recv_timeout(Duration::from_millis(3));
    assert_eq!(nothing, Err(RecvTimeoutError::Timeout));
    std::panic::set_hook(Box::new(|_| ()));
    assert!(thread::spawn(|| panic!("on purpose")).join().is_err());
    println!("ok");
}
