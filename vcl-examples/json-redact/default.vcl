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
    tinykvm.configure("json-redact",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/json-redact",
            "concurrency": 4
            // "on_failure" stays as it is: the original is the last thing that is wanted if the
            // program fails.
        }"});
    tinykvm.start("json-redact");
}

sub vcl_backend_fetch {
    # A part of a body would not be filtered.
    unset bereq.http.Range;
}

sub vcl_backend_response {
    if (beresp.http.Content-Type ~ "(?i)json") {
        # What is not in the cache can't get out of it.
        if (bereq.url ~ "^/public/") {
            tinykvm.filter("json-redact", "remove", "user.email, **.password");
        } else {
            tinykvm.filter("json-redact", config="user.email, **.password");
        }
    }
}
