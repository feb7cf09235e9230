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
    tinykvm.configure("html-rewrite",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/html-rewrite",
            "concurrency": 4
        }"});
    tinykvm.start("html-rewrite");
}

sub vcl_backend_response {
    if (beresp.http.Content-Type ~ "(?i)^text/html") {
        # Links to what is not secure become secure ones, images wait until they are seen, and
        # this comes to the end of each head. A page is changed once, on its way into the cache.
        tinykvm.filter("html-rewrite", config={"<link rel="stylesheet" href="/site.css">"});

        # The same for links that have moved:
        # tinykvm.filter("html-rewrite", "http://old.example.com/ https://www.example.com/");
    }
}
