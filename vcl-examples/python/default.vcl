vcl 4.1;

import std;
import tinykvm;

# Your backend.
backend default {
    .host = "127.0.0.1";
    .port = "8000";
}

sub vcl_init {
    # Write the script's path here; this example gets its directory from the environment. Beside it
    # is tinykvm.py of guest/python.
    tinykvm.configure("rewrite",
        {"{
            "filename": "/usr/bin/python3",
            "main_arguments": ["-S", "-B", ""} + std.getenv("TINYKVM_GUESTS") + {"/python/rewrite.py"],
            "concurrency": 4
        }"});
    # Python's own library is below /usr/lib, and so is one of these.
    tinykvm.allow("rewrite", read, "libraries");
    tinykvm.allow("rewrite", read, std.getenv("TINYKVM_GUESTS") + "/python/");
    # The functions that the host calls are compiled by Python's ctypes.
    tinykvm.allow("rewrite", exec_memory);
    tinykvm.start("rewrite");
}

sub vcl_backend_response {
    # The program leaves alone what is no text.
    tinykvm.filter("rewrite", "(address hidden)");
}
