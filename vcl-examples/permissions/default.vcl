vcl 4.1;

import std;
import tinykvm;

# Everything is answered by programs.
backend default none;

sub vcl_init {
    # The same program three times, with different permissions. Nothing of the host is there unless
    # a line here gives it.
    tinykvm.configure("visitor",
        {"{ "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/guestbook-c" }"});
    tinykvm.configure("reader",
        {"{ "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/guestbook-c" }"});
    tinykvm.configure("stranger",
        {"{ "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/guestbook-c" }"});

    # Where the program finds its directories: variables of varnishd's environment, one by one.
    tinykvm.allow("visitor", env, "TINYKVM_TEMPLATES");
    tinykvm.allow("visitor", env, "TINYKVM_BOOK");
    tinykvm.allow("reader", env, "TINYKVM_TEMPLATES");
    tinykvm.allow("reader", env, "TINYKVM_BOOK");
    tinykvm.allow("stranger", env, "TINYKVM_TEMPLATES");
    tinykvm.allow("stranger", env, "TINYKVM_BOOK");

    # A slash at the end: the directory and all in it. Who visits may read templates and write to
    # the book; who reads may not write; a stranger may do nothing.
    tinykvm.allow("visitor", read, std.getenv("TINYKVM_TEMPLATES") + "/");
    tinykvm.allow("visitor", write, std.getenv("TINYKVM_BOOK") + "/");
    tinykvm.allow("reader", read, std.getenv("TINYKVM_TEMPLATES") + "/");
    tinykvm.allow("reader", read, std.getenv("TINYKVM_BOOK") + "/");
}

sub vcl_recv {
    if (req.url ~ "^/(visitor|reader|stranger)/") {
        return (pass);
    }
    return (synth(404));
}

sub vcl_backend_fetch {
    # What is behind the first part is the name of a template. It is passed on as it is: the program
    # checks no path, and need not.
    set bereq.backend = tinykvm.program(regsub(bereq.url, "^/([a-z]+)/.*", "\1"),
        regsub(bereq.url, "^/[a-z]+", ""));
}
