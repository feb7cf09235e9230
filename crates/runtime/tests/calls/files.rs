//! Large files that programs map, through all layers.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::thread;

use tinykvm_runtime::Verdict;
use tinykvm_testkit::harness::Case;
use tinykvm_testkit::paths;

use crate::support::{Bench, Reply, configured};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("a large file mapped before the freeze is in place", before),
        Case::kvm("a large file mapped in a request is in place", within),
        Case::kvm("a large file is not mapped without a grant", denied),
    ]
}

/// Words in the file: 6 MB, and some more that are no whole page.
const WORDS: u64 = (6 << 17) + 100;

/// A file of words that count up; it is removed at the end.
struct Model(PathBuf);

impl Model {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let path = paths::target().join(name);
        let bytes: Vec<u8> = (0..WORDS).flat_map(u64::to_le_bytes).collect();
        fs::write(&path, bytes).unwrap();
        Self(path)
    }

    /// A program that may read it if `allowed`, and maps it before the freeze if `early`.
    fn bench(&self, allowed: bool, early: bool) -> Bench {
        let path = self.0.display();
        let paths = if allowed {
            format!(r#"["{path}"]"#)
        } else {
            "[]".to_owned()
        };
        configured(
            PROGRAM,
            &format!(
                r#"{{"concurrency": 4, "main_arguments": ["{early}", "{path}"],
                    "allowed_paths": {paths}, "max_memory": 64, "max_request_memory": 4}}"#
            ),
        )
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Answers with the sum of all words; `/map`: of a mapping of the request's own; `/write`: writes
/// to the first page; `/both`: the same with the right to do so, which makes it a copy.
const PROGRAM: &str = r#"
    #include <errno.h>
    #include <fcntl.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/stat.h>
    #include <tinykvm.h>
    #include <unistd.h>
    static const char *path;
    static unsigned long *words, count, counter;
    static unsigned long *map(void)
    {
        int fd = open(path, O_RDONLY);
        struct stat it;
        if (fd < 0 || fstat(fd, &it) != 0)
            return NULL;
        count = it.st_size / 8;
        void *at = mmap(NULL, it.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        close(fd);
        return at == MAP_FAILED ? NULL : at;
    }
    static void get(const char *url, const char *arg)
    {
        static char text[100];
        unsigned long sum = 0, *at = strcmp(url, "/map") == 0 ? map() : words;
        if (at == NULL)
            backend_response_str(403, "text/plain", strerrorname_np(errno));
        if (strcmp(url, "/write") == 0)
            at[5] = 1;
        if (strcmp(url, "/both") == 0 && mprotect(at, 4096, PROT_READ | PROT_WRITE) == 0)
            at[0] += 7;
        for (unsigned long i = 0; i < count; i++)
            sum += at[i];
        snprintf(text, sizeof text, "%lu %lu %p", sum, ++counter, (void *)at);
        backend_response_str(200, "text/plain", text);
    }
    int main(int argc, char **argv)
    {
        path = argv[argc - 1];
        if (strcmp(argv[1], "true") == 0)
            words = map();
        set_backend_get(get);
        wait_for_requests();
    }
"#;

const SUM: u64 = WORDS * (WORDS - 1) / 2;

/// Fails unless the answer is right, and the file is not part of the request's memory.
fn check(reply: &Reply, more: u64) -> String {
    let text = reply.text();
    let expected = format!("{} 1 ", SUM + more);
    assert!(text.starts_with(&expected), "{expected}: {reply:#?}");
    let private = reply.figure("private");
    let kilobytes: u64 = private.strip_suffix("KiB").unwrap().parse().unwrap();
    assert!(kilobytes < 512, "{reply:#?}");
    let pages: u64 = reply.figure("pages").parse().unwrap();
    assert!(pages < 128, "{reply:#?}");
    text[expected.len()..].to_owned()
}

fn before() -> Result<(), String> {
    let model = Model::new("mapped-before");
    let bench = model.bench(true, true);
    let places: HashSet<String> = thread::scope(|scope| {
        let requests = || {
            let some = (0..8).map(|_| check(&bench.get("/"), 0));
            some.collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(requests)).collect();
        let places = threads.into_iter().flat_map(|one| one.join().unwrap());
        places.collect()
    });
    assert_eq!(places.len(), 1, "{places:?}");
    bench.get("/write").failed(Verdict::Fault);
    check(&bench.get("/both"), 7);
    check(&bench.get("/"), 0);
    let first = fs::read(&model.0).unwrap();
    assert_eq!(first[..8], [0; 8], "the file is as it was");
    Ok(())
}

fn within() -> Result<(), String> {
    let model = Model::new("mapped-within");
    let bench = model.bench(true, false);
    let maps = || fs::read_to_string("/proc/self/maps").unwrap();
    let name = model.0.display().to_string();
    for _ in 0..5 {
        check(&bench.get("/map"), 0);
        assert_eq!(maps().matches(&name).count(), 0, "nothing is left");
        assert_eq!(bench.get("/").status, 403, "nor in the program");
    }
    Ok(())
}

fn denied() -> Result<(), String> {
    let model = Model::new("mapped-denied");
    let bench = model.bench(false, true);
    for url in ["/", "/map"] {
        let reply = bench.get(url);
        assert_eq!((reply.status, reply.text()), (403, "ENOENT".to_owned()));
    }
    Ok(())
}
