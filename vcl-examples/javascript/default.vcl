vcl 4.1;

import std;
import tinykvm;

backend default {
    .host = "127.0.0.1";
    .port = "8000";
}

sub vcl_init {
    # The directories of programs and scripts come from the environment of varnishd, so that this
    # example works from anywhere. Write your paths here.
    tinykvm.configure("javascript",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/javascript",
            "main_arguments": [""} + std.getenv("TINYKVM_SCRIPTS") + {"/filter.js"],
            "concurrency": 4
        }"});
    # The script is read when the program starts.
    tinykvm.allow("javascript", read, std.getenv("TINYKVM_SCRIPTS") + "/filter.js");
    tinykvm.start("javascript");
}

sub vcl_recv {
    # One object in the cache, whatever part of it is asked for.
    unset req.http.X-Only;
    if (req.url ~ "\?only=") {
        set req.http.X-Only = regsub(req.url, "^.*\?only=", "");
        set req.url = regsub(req.url, "\?.*$", "");
    }
}

sub vcl_backend_fetch {
    unset bereq.http.X-Only;
}

sub vcl_deliver {
    if (req.http.X-Only) {
        tinykvm.filter("javascript", req.http.X-Only);
    }
}
