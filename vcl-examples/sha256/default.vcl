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
    tinykvm.configure("sha256",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/sha256",
            "concurrency": 4
        }"});
    tinykvm.start("sha256");
}

sub vcl_backend_response {
    # In the cache, with what the body has got.
    if (beresp.http.Content-Type ~ "(?i)^text/plain") {
        tinykvm.filter("sha256", config={"
sha256: {}
"});
    }
}

sub vcl_deliver {
    # For those who ask for it. Others get the same object without it.
    if (resp.http.Content-Type ~ "(?i)^text/html" && req.http.X-Checksum) {
        tinykvm.filter("sha256", config={"<!-- sha256: {} -->"});
    }
}
