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
    tinykvm.configure("minify",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/minify",
            "concurrency": 4,
            // A page that could not be made smaller is still a page.
            "on_failure": "original"
        }"});
    tinykvm.start("minify");
}

sub vcl_backend_response {
    # The program looks at the Content-Type itself; this saves asking it for images. It goes into
    # the cache as it leaves the program: once for each object, not for each client.
    if (beresp.http.Content-Type ~ "(?i)^(text/html|application/([^;]+\+)?json)") {
        # What comes out of it gets smaller still. This has to be said before.
        set beresp.do_gzip = true;
        tinykvm.filter("minify");
    }
}
