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
    tinykvm.configure("markdown",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/markdown",
            "concurrency": 4,
            // It wants the whole text. This is how long one may be, in MiB.
            "max_body": 4
        }"});
    tinykvm.start("markdown");
}

sub vcl_backend_response {
    # Not every server knows what it has.
    if (bereq.url ~ "\.md$") {
        set beresp.http.Content-Type = "text/markdown";
    }
    if (beresp.http.Content-Type ~ "(?i)^text/markdown") {
        set beresp.do_gzip = true;
        tinykvm.filter("markdown", config={"<style>body { max-width: 50em }</style>
"});
    }
}
