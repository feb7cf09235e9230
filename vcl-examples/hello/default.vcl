vcl 4.1;

import std;
import tinykvm;

# Everything is answered by programs.
backend default none;

sub vcl_init {
    # Paths of programs are absolute. Write yours here; this example gets the directory from the
    # environment of varnishd, so that it works from anywhere.
    tinykvm.configure("c",
        {"{ "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/hello-c" }"});
    tinykvm.configure("cpp",
        {"{ "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/hello-cpp" }"});
    tinykvm.configure("rust",
        {"{ "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/hello-rust" }"});

    # A program that computes gets more time, and more requests at once.
    tinykvm.configure("mandelbrot",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/mandelbrot-c",
            "concurrency": 4,
            "max_request_time": 10.0
        }"});

    # Without this, a program starts with its first request.
    tinykvm.start("c");
    tinykvm.start("cpp");
    tinykvm.start("rust");
    tinykvm.start("mandelbrot");
}

sub vcl_recv {
    if (req.url ~ "^/(c|cpp|rust)$") {
        # Programs see the body of a POST. By default it goes to the backend only with a pass.
        return (pass);
    }
    if (req.url ~ "^/mandelbrot(\?|$)") {
        # The program says how long its images may be cached.
        return (hash);
    }
    return (synth(404));
}

sub vcl_backend_fetch {
    if (bereq.url == "/c") {
        set bereq.backend = tinykvm.program("c", bereq.url);
    } else if (bereq.url == "/cpp") {
        set bereq.backend = tinykvm.program("cpp", bereq.url);
    } else if (bereq.url == "/rust") {
        set bereq.backend = tinykvm.program("rust", bereq.url);
    } else {
        set bereq.backend = tinykvm.program("mandelbrot", bereq.url);
    }
}

sub vcl_synth {
    # A program can make synthetic answers, too.
    if (req.url == "/" && tinykvm.synth(200, "c", req.url) == 200) {
        return (deliver);
    }
}
