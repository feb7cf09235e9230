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
    tinykvm.configure("csv-json",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/csv-json",
            "concurrency": 4
        }"});
    tinykvm.start("csv-json");
}

sub vcl_backend_fetch {
    # /table.csv is the backend's, /table.csv.json is made of it.
    unset bereq.http.X-Make;
    if (bereq.url ~ "\.csv\.json$") {
        set bereq.http.X-Make = "json";
        set bereq.url = regsub(bereq.url, "\.json$", "");
    }
}

sub vcl_backend_response {
    if (bereq.http.X-Make == "json") {
        # With "numbers", what looks like one is a number and not text. The separator would be the
        # configuration: config=";".
        tinykvm.filter("csv-json", "numbers");
    }
}
