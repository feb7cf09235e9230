vcl 4.1;

import std;
import tinykvm;

backend default {
    .host = "127.0.0.1";
    .port = "8000";
}

sub vcl_init {
    # The directory of the programs comes from the environment of varnishd, so that this example
    # works from anywhere. Write your path here.
    tinykvm.configure("scrub",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/scrub",
            "concurrency": 4
        }"});
    tinykvm.start("scrub");
}

sub vcl_backend_fetch {
    # A part of a body would not be filtered.
    unset bereq.http.Range;
}

sub vcl_backend_response {
    if (beresp.http.Content-Type ~ "(?i)^(text/|application/(json|x-ndjson))") {
        if (bereq.url ~ "^/access") {
            # An access log is full of numbers that could be those of cards.
            tinykvm.filter("scrub", "email,ip");
        } else {
            tinykvm.filter("scrub");
        }
    }
}
