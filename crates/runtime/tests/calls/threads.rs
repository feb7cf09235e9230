//! Programs with threads: frozen with them, forked, called, reset.

use tinykvm_runtime::Verdict;
use tinykvm_testkit::harness::Case;

use crate::support::{Bench, bench, configured};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("threads that wait serve requests", workers),
        Case::kvm(
            "a thread other than the caller's answers",
            answers_elsewhere,
        ),
        Case::kvm("threads of a request end with it", request_threads),
        Case::kvm("a thread that computes goes on in every fork", background),
        Case::kvm("a program that keeps its state and has threads", kept),
        Case::kvm("a thread that fails, and on_error", failing),
        Case::kvm("timers do not catch up", timers),
        Case::kvm("threads and the wait call that is resumed", paused),
        Case::kvm("a thread that waits finds the environment", environment),
    ]
}

/// A pool of threads with a queue, and what they share with the callback.
const POOL: &str = r#"
    #include <pthread.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <time.h>
    #include <tinykvm.h>
    #include <unistd.h>
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    static int wanted, done, sum;
    static __thread int own;
    static void *work(void *argument)
    {
        own = (int)(long)argument;
        for (;;) {
            pthread_mutex_lock(&mutex);
            while (!wanted)
                pthread_cond_wait(&changed, &mutex);
            wanted--;
            sum += own;
            done++;
            pthread_cond_broadcast(&changed);
            pthread_mutex_unlock(&mutex);
        }
    }
    static void start(int count)
    {
        for (long i = 1; i <= count; i++) {
            pthread_t thread;
            pthread_create(&thread, 0, work, (void *)i);
        }
        usleep(1000);
    }
    static void order(int count)
    {
        pthread_mutex_lock(&mutex);
        wanted = count;
        done = 0;
        pthread_cond_broadcast(&changed);
        while (done < count)
            pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
    }
    static void answer(int number)
    {
        char text[32];
        sprintf(text, "%d", number);
        backend_response_str(200, "text/plain", text);
    }
"#;

fn with_pool(rest: &str) -> Bench {
    bench(&format!("{POOL}{rest}"))
}

fn workers() -> Result<(), String> {
    let bench = with_pool(
        r#"
        static void get(const char *url, const char *arg)
        {
            order(16);
            answer(done + (sum > 0));
        }
        int main(void)
        {
            start(8);
            order(8);
            sum = 0;
            set_backend_get(get);
            wait_for_requests();
        }
        "#,
    );
    for _ in 0..100 {
        bench.get("/").is(200, "17");
    }
    Ok(())
}

fn answers_elsewhere() -> Result<(), String> {
    for json in [
        r#"{"concurrency": 1}"#,
        r#"{"concurrency": 1, "ephemeral": false}"#,
    ] {
        let bench = configured(
            r#"
            #include <pthread.h>
            #include <tinykvm.h>
            #include <unistd.h>
            static void *answer(void *argument)
            {
                backend_response_str(200, "text/plain", argument);
                return 0;
            }
            static void get(const char *url, const char *arg)
            {
                pthread_t thread;
                pthread_create(&thread, 0, answer, url[1] == 'a' ? "first" : "second");
                pthread_join(thread, 0);
                for (;;)
                    pause();
            }
            int main(void)
            {
                set_backend_get(get);
                wait_for_requests();
            }
            "#,
            json,
        );
        for _ in 0..20 {
            bench.get("/a").is(200, "first");
            bench.get("/b").is(200, "second");
        }
    }
    Ok(())
}

fn request_threads() -> Result<(), String> {
    let bench = with_pool(
        r#"
        static void *spin(void *argument) { for (;;) sum++; }
        static void get(const char *url, const char *arg)
        {
            int before = sum, spins = url[1] == 's';
            /* Each that spins takes its slice before this one goes on. */
            for (int i = 0; i < (spins ? 20 : 60); i++) {
                pthread_t thread;
                if (pthread_create(&thread, 0, spins ? spin : work, 0))
                    answer(-i);
            }
            usleep(3000);
            answer(before);
        }
        int main(void)
        {
            set_backend_get(get);
            wait_for_requests();
        }
        "#,
    );
    for _ in 0..5 {
        bench.get("/spin").is(200, "0");
        bench.get("/wait").is(200, "0");
    }
    Ok(())
}

fn background() -> Result<(), String> {
    let bench = with_pool(
        r#"
        static volatile long turns;
        static void *count(void *argument) { for (;;) turns++; }
        static void get(const char *url, const char *arg)
        {
            long before = turns;
            while (turns < before + 1000)
                ;
            answer(sum++);
        }
        int main(void)
        {
            pthread_t thread;
            pthread_create(&thread, 0, count, 0);
            while (!turns)
                ;
            set_backend_get(get);
            wait_for_requests();
        }
        "#,
    );
    for _ in 0..20 {
        bench.get("/").is(200, "0");
    }
    Ok(())
}

fn kept() -> Result<(), String> {
    let bench = configured(
        &format!(
            "{POOL}{}",
            r#"
            static int calls;
            static void get(const char *url, const char *arg)
            {
                order(4);
                answer(++calls);
            }
            int main(void)
            {
                start(4);
                set_backend_get(get);
                wait_for_requests();
            }
            "#
        ),
        r#"{"concurrency": 1, "ephemeral": false}"#,
    );
    for call in 1..20 {
        bench.get("/").is(200, &call.to_string());
    }
    Ok(())
}

fn failing() -> Result<(), String> {
    let bench = with_pool(
        r#"
        static void *crash(void *argument) { *(volatile int *)8 = 1; return 0; }
        static void *spin(void *argument) { for (;;) sum++; }
        static void get(const char *url, const char *arg)
        {
            pthread_t thread;
            pthread_create(&thread, 0, url[1] == 'c' ? crash : spin, 0);
            pthread_join(thread, 0);
            answer(0);
        }
        static void error(const char *url, const char *arg, const char *reason)
        {
            order(3);
            backend_response_str(503, "text/plain", "sorry");
        }
        int main(void)
        {
            start(3);
            set_backend_get(get);
            set_on_error(error);
            wait_for_requests();
        }
        "#,
    );
    for _ in 0..3 {
        let reply = bench.get("/crash");
        assert_eq!(
            (reply.verdict, reply.status),
            (Verdict::Fault, 503),
            "{reply:#?}"
        );
        assert_eq!(reply.text(), "sorry");
    }
    Ok(())
}

fn timers() -> Result<(), String> {
    let bench = with_pool(
        r#"
        static volatile int ticks;
        static void tick(int number) { ticks++; }
        static void *tock(void *argument)
        {
            for (;;) {
                usleep(200000);
                sum++;
            }
        }
        static void get(const char *url, const char *arg)
        {
            if (url[1] == 'w')
                usleep(700000);
            answer(ticks + sum);
        }
        int main(void)
        {
            struct timespec each = {.tv_nsec = 400000000};
            struct itimerspec value = {each, each};
            pthread_t thread;
            timer_t timer;
            signal(SIGALRM, tick);
            timer_create(CLOCK_MONOTONIC, 0, &timer);
            timer_settime(timer, 0, &value, 0);
            pthread_create(&thread, 0, tock, 0);
            sched_yield();
            set_backend_get(get);
            wait_for_requests();
        }
        "#,
    );
    std::thread::sleep(std::time::Duration::from_millis(1000));
    for _ in 0..3 {
        bench.get("/now").is(200, "0");
    }
    // The call's own sleep ends with the first tick.
    let ticks: u32 = bench.get("/wait").text().parse().unwrap();
    assert!((1..=3).contains(&ticks), "{ticks}");
    Ok(())
}

fn paused() -> Result<(), String> {
    let bench = with_pool(
        r#"
        int main(void)
        {
            static struct kvm_request request;
            start(4);
            for (;;) {
                wait_for_requests_paused(&request);
                order(8);
                answer(sum > 0 ? done : -1);
            }
        }
        "#,
    );
    for _ in 0..20 {
        bench.get("/").is(200, "8");
    }
    Ok(())
}

/// Callbacks of a thread that has a stack of its own run on the original one, below what the
/// program was started with.
fn environment() -> Result<(), String> {
    let bench = configured(
        r#"
        #include <pthread.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/auxv.h>
        #include <tinykvm.h>
        static char **arguments;
        static void get(const char *url, const char *arg)
        {
            static char text[500];
            char deep[5000];
            memset(deep, 'x', sizeof deep);
            unsigned long *random = (unsigned long *)getauxval(AT_RANDOM);
            snprintf(text, sizeof text, "%s %s %c %d", arguments[1], getenv("KVM_TYPE"), deep[99],
                     random[0] != random[1] && random[0] != 0x7878787878787878);
            backend_response_str(200, "text/plain", text);
        }
        static void *wait(void *unused)
        {
            set_backend_get(get);
            wait_for_requests();
        }
        int main(int argc, char **argv)
        {
            pthread_t thread;
            arguments = argv;
            pthread_create(&thread, 0, wait, 0);
            pthread_join(thread, 0);
        }
        "#,
        r#"{"main_arguments": ["first"]}"#,
    );
    for _ in 0..2 {
        bench.get("/").is(200, "first request x 1");
    }
    Ok(())
}
