vcl 4.1;

import std;
import tinykvm;

# Your backend.
backend default {
    .host = "127.0.0.1";
    .port = "8000";
}

sub vcl_init {
    # Write the program's path here; this example gets its directory from the environment.
    tinykvm.configure("words",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/cpp-template",
            "concurrency": 4
        }"});
    tinykvm.start("words");
}

sub vcl_backend_response {
    # Done once, before it is cached. The program leaves alone what is no text.
    tinykvm.filter("words", "replace colour color");
}

sub vcl_deliver {
    # Done for each client that asks for it.
    if (req.http.X-Count && req.esi_level == 0) {
        tinykvm.filter("words", "count");
    }
}
