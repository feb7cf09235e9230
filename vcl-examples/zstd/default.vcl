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
    tinykvm.configure("zstd",
        {"{
            "filename": ""} + std.getenv("TINYKVM_GUESTS") + {"/zstd",
            "concurrency": 4,
            "on_failure": "original"
        }"});
    tinykvm.start("zstd");
}

# Behind vcl_recv, Varnish makes "gzip" of a client's Accept-Encoding, or removes it, and it ignores
# the field in Vary. So what a client gets is a field of our own, X-Encoding.
sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.X-Encoding;
        std.collect(req.http.Accept-Encoding);
        # With q=0 a client refuses it. What is included in a page can't have an encoding of its own.
        if (req.esi_level == 0 && req.http.Accept-Encoding ~
            "(?i)(^|,)[ \t]*zstd[ \t]*(,|$|;[ \t]*q=(1|0\.0*[1-9]))") {
            set req.http.X-Encoding = "zstd";
        }
    }
}

sub vcl_backend_response {
    # What is text, and nobody has compressed but the backend with gzip, which Varnish asks for. Of a
    # body that is in the cache already (was_304), the header fields say what we made of it.
    if (beresp.status == 200
        && beresp.http.Content-Type ~
            "(?i)^(text/|application/(javascript|json|xml|wasm|[^;]*\+(json|xml))|image/svg)"
        && (!beresp.http.Content-Encoding || beresp.http.Content-Encoding == "gzip"
            || beresp.was_304)
        && beresp.http.Cache-Control !~ "(?i)no-transform"
        && beresp.http.Vary !~ "\*") {
        std.collect(beresp.http.Vary);
        if (!beresp.http.Vary) {
            set beresp.http.Vary = "Accept-Encoding";
        } else if (beresp.http.Vary !~ "(?i)accept-encoding") {
            set beresp.http.Vary = beresp.http.Vary + ", Accept-Encoding";
        }
        if (beresp.http.Vary !~ "X-Encoding") {
            set beresp.http.Vary = beresp.http.Vary + ", X-Encoding";
        }
        if (beresp.was_304) {
            # Only the header fields are new.
        } else if (bereq.http.X-Encoding == "zstd") {
            # Else it would be compressed twice.
            set beresp.do_gunzip = true;
            tinykvm.filter("zstd");
        } else {
            # Varnish decodes gzip for clients that don't accept that either.
            set beresp.do_gzip = true;
        }
    }
}

sub vcl_deliver {
    # X-Encoding is nobody else's business.
    if (resp.http.Vary) {
        set resp.http.Vary = regsub(resp.http.Vary, ", X-Encoding", "");
    }
}
