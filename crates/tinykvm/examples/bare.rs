//! Boots a bare program, calls it, times it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example")]
use std::sync::Arc;
use std::time::{Duration, Instant};
use tinykvm::*;
fn main() {
    let engine = Engine::get().unwrap();
    println!("{:?}", engine.flavour());
    let image = Arc::new(Image::parse(std::fs::read(std::env::args().nth(1).unwrap()).unwrap()).unwrap());
    let options = BootOptions { image: Arc::clone(&image), limits: Limits::default(), vdso: None };
    let t = Instant::now();
    let mut boot = Booting::new(engine, &options).unwrap();
    println!("new {:?} {:x?}", t.elapsed(), boot.loaded());
    boot.start(boot.loaded().entry, boot.loaded().stack_top - 64);
    loop {
        let e = boot.run(Duration::from_secs(1)).unwrap();
        match e {
            Exit::Syscall => { println!("syscall {}", boot.registers().rax); boot.registers_mut().rax = 99; }
            Exit::Hypercall { number: 0x10001 } => break,
            Exit::Hypercall { number } => println!("hyper {number:x} {:x} {}", boot.registers().rdi, boot.registers().rsi),
            other => panic!("{other:x?}"),
        }
    }
    let t = Instant::now();
    let template = Arc::new(boot.freeze().unwrap());
    println!("freeze {:?}", t.elapsed());
    let t = Instant::now();
    let mut fork = template.fork().unwrap();
    println!("fork {:?}", t.elapsed());
    let budget = Duration::from_millis(500);
    for name in ["handler", "handler", "fault", "ud", "sys", "ret", "loop", "hog"] {
        let f = image.symbol(name).unwrap();
        fork.begin(budget);
        fork.prepare_call(f);
        fork.enter([20, 22, 0, 0, 0, 0]).unwrap();
        let t = Instant::now();
        loop {
            let e = fork.run().unwrap();
            if let Exit::Syscall = e { println!("sys {}", fork.registers().rax); fork.registers_mut().rax = 5; continue; }
            println!("{name}: {e:x?} rdi {} rsi {} in {:?}", fork.registers().rdi, fork.registers().rsi, t.elapsed());
            if let Exit::Exception(x) = e { println!("{x}"); for l in backtrace(&fork, &image, &x.registers) { println!("  {l}"); } }
            break;
        }
        println!("{:?}", fork.reset());
    }
    let f = image.symbol("handler").unwrap();
    let n = 20000;
    for _ in 0..2 {
        let before = ioctl_count();
        let t = Instant::now();
        for _ in 0..n { fork.begin(budget); fork.prepare_call(f); fork.enter([1, 2, 0, 0, 0, 0]).unwrap(); fork.run().unwrap(); fork.reset().unwrap(); }
        println!("call+reset {:?} ioctls {}", t.elapsed() / n, (ioctl_count() - before) as f64 / n as f64);
        // bare exits
        fork.begin(Duration::from_secs(100));
        fork.prepare_resume();
        fork.run().unwrap();
        let t = Instant::now();
        for _ in 0..n { fork.run().unwrap(); }
        println!("exit {:?}", t.elapsed() / n);
        fork.reset().unwrap();
    }
    let t = Instant::now();
    for _ in 0..100 { drop(template.fork().unwrap()); }
    println!("fork+drop {:?}", t.elapsed() / 100);
}
