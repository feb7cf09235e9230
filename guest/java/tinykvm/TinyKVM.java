package tinykvm;

import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;

/**
 * TinyKVM guest programs in Java.
 *
 * <pre>TinyKVM.serve(request -> Response.text("Hello " + request.url()));</pre>
 *
 * What is done before serve() is done once; the process is then frozen, and every request finds it
 * as it was at that moment. Call your own code some thousand times before: then it is compiled.
 * The native part is tinykvm.c.
 */
public final class TinyKVM {
    /** What is asked for. Strings are decoded as Latin-1. */
    public record Request(String method, String url, String argument, String contentType, byte[] body) {}

    /** What is answered. */
    public record Response(int status, String type, byte[] body) {
        /** Status 200, and a text. */
        public static Response text(String text) {
            byte[] body = text.getBytes(StandardCharsets.UTF_8);
            return new Response(200, "text/plain; charset=utf-8", body);
        }
    }

    /** Answers requests. */
    public interface Handler {
        Response answer(Request request) throws Exception;
    }

    private TinyKVM() {}

    /** True inside a TinyKVM VM, false when the program was started by hand. */
    public static boolean isSandboxed() {
        return System.getenv("KVM_NAME") != null;
    }

    // Waits: method, url, argument, content type, body, random bytes.
    private static native byte[][] await();

    private static native void respond(int status, byte[] type, byte[] body);

    /** Says that the program is ready, and answers every request with what `handler` returns. */
    public static void serve(Handler handler) {
        System.loadLibrary("tinykvm");
        for (;;) {
            byte[][] raw = await();
            // What it had read of the system's randomness was frozen with the rest.
            new SecureRandom().setSeed(raw[5]);
            Response response;
            try {
                response = handler.answer(
                        new Request(text(raw[0]), text(raw[1]), text(raw[2]), text(raw[3]), raw[4]));
            } catch (Exception | StackOverflowError error) {
                error.printStackTrace();
                byte[] body = "Internal error".getBytes(StandardCharsets.UTF_8);
                response = new Response(500, "text/plain", body);
            }
            byte[] type = response.type().getBytes(StandardCharsets.ISO_8859_1);
            respond(response.status(), type, response.body());
        }
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }
}
