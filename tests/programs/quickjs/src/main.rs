//! QuickJS in a static Rust program: a page rendered by JavaScript from a template, JSON, regular
//! expressions, generators, classes, promises.

#[path = "../../common/program.rs"]
mod program;

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rquickjs::{Context, Function, Runtime};

const SCRIPT: &str = include_str!("page.js");

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let context = Context::full(&runtime).expect("a context");
    context.with(|ctx| {
        // Math.random() is seeded when the context is made, before the freeze: it gets numbers
        // from here instead.
        let generator = RefCell::new(None);
        let random = move || {
            generator
                .borrow_mut()
                .get_or_insert_with(SmallRng::from_os_rng)
                .random::<f64>()
        };
        let random = Function::new(ctx.clone(), random).expect("a function");
        ctx.globals().set("hostRandom", random).expect("a global");
        ctx.eval::<(), _>("Math.random = hostRandom")
            .expect("an assignment");
        ctx.eval::<(), _>(SCRIPT).expect("a script");
    });
    let call = |name: &str, number: u32| {
        context.with(|ctx| {
            let function: Function = ctx.globals().get(name).expect("a function");
            function.call::<_, ()>((number,)).expect("a call");
            while ctx.execute_pending_job() {}
            ctx.globals().get::<_, String>("result").expect("a result")
        })
    };
    program::serve(
        |number| call("render", number),
        || uuid::Uuid::new_v4().to_string(),
        || call("random", 0),
    );
}
