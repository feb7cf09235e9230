vcl 4.1;

import std;
import tinykvm;

# Your backend.
backend default {
    .host = "127.0.0.1";
    .port = "8000";
}

sub vcl_init {
    # Write the programs' paths here; this example gets their directory from the environment.
    tinykvm.configure("webp",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/image-webp",
            "concurrency": 4,
            "max_body": 16,
            "max_memory": 512,
            "max_request_memory": 256,
            "on_failure": "original"
        }"});

    # AVIF takes more time and memory, and its library is a shared one.
    tinykvm.configure("avif",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/image-avif",
            "libraries": true,
            "concurrency": 2,
            "max_body": 16,
            "max_request_time": 30.0,
            "max_memory": 1024,
            "max_request_memory": 512,
            "on_failure": "original"
        }"});

    tinykvm.start("webp");
    tinykvm.start("avif");
}

# There are too many values of Accept to be a variant each. So the format that a client gets is a
# field of our own, X-Image. Who does not name a format does not get it: image/* says nothing.
sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.X-Image;
        std.collect(req.http.Accept);
        if (req.http.Accept ~ "(?i)(^|,)[ \t]*image/avif[ \t]*(,|;|$)"
            && req.http.Accept !~ "(?i)image/avif[^,]*;[ \t]*q=0(\.0*)?[ \t]*(,|$)") {
            set req.http.X-Image = "avif";
        } else if (req.http.Accept ~ "(?i)(^|,)[ \t]*image/webp[ \t]*(,|;|$)"
            && req.http.Accept !~ "(?i)image/webp[^,]*;[ \t]*q=0(\.0*)?[ \t]*(,|$)") {
            set req.http.X-Image = "webp";
        }
    }
}

sub vcl_backend_response {
    # A picture that is in the cache already (was_304) has the type that we made of it.
    if (beresp.status == 200
        && (beresp.http.Content-Type ~ "^image/(png|jpeg)$"
            || (beresp.was_304 && beresp.http.Content-Type ~ "^image/(webp|avif)$"))
        && beresp.http.Cache-Control !~ "(?i)no-transform"
        && beresp.http.Vary !~ "\*") {
        std.collect(beresp.http.Vary);
        # Varnish is not to look at Accept, but at X-Image. See vcl_deliver.
        if (!beresp.http.Vary) {
            set beresp.http.Vary = "X-Image";
        } else if (beresp.http.Vary ~ "(?i)(^|[, ])accept($|[, ])") {
            set beresp.http.Vary =
                regsub(beresp.http.Vary, "(?i)(^|[, ])accept($|[, ])", "\1X-Image\2");
        } else if (beresp.http.Vary !~ "X-Image") {
            set beresp.http.Vary = beresp.http.Vary + ", X-Image";
        }

        if (beresp.was_304) {
            # Only the header fields are new.
        } else if (bereq.http.X-Image == "avif") {
            tinykvm.filter("avif");
        } else if (bereq.http.X-Image == "webp") {
            tinykvm.filter("webp");
        }
    }
}

sub vcl_deliver {
    # For everybody else it is a matter of Accept.
    if (resp.http.Vary) {
        set resp.http.Vary = regsub(resp.http.Vary, "X-Image", "Accept");
    }
}
