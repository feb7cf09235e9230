// Java: regular expressions, streams, big numbers, hashes, compression, a thread pool, a null pointer
// and an endless recursion that are caught, garbage.

import java.io.FileInputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import tinykvm.TinyKVM;
import tinykvm.TinyKVM.Response;

public final class Main {
    private static final int REQUESTS = 100;
    private static final int ROUNDS = 10;
    /** How often the answers are given before the freeze, so that they are compiled. */
    private static final int WARM_UP = 10;
    private static final Pattern WORD = Pattern.compile("([a-z]+)(\\d+)");
    // Its threads are there before the freeze and wait in it.
    private static final ExecutorService POOL = Executors.newFixedThreadPool(2);
    private static int requests;

    private static int depth(int number) {
        return 1 + depth(number + 1);
    }

    private static String caught(String text) {
        String both = "";
        try {
            both += text.length();
        } catch (NullPointerException error) {
            both += "null";
        }
        if (text == null) return both;
        try {
            both += depth(0);
        } catch (StackOverflowError error) {
            both += " deep";
        }
        return both;
    }

    private static String answer(int number) throws Exception {
        String text = IntStream.range(0, 100)
                .map(i -> (i * 7919 + number) % 1000)
                .sorted()
                .mapToObj(i -> "w" + i)
                .collect(Collectors.joining(" "));
        String swapped = WORD.matcher(text).replaceAll("$2$1");
        byte[] bytes = swapped.getBytes(StandardCharsets.UTF_8);
        String hash = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes), 0, 8);
        Deflater deflater = new Deflater();
        deflater.setInput(bytes);
        deflater.finish();
        int packed = deflater.deflate(new byte[bytes.length]);
        deflater.end();
        CRC32 crc = new CRC32();
        crc.update(bytes);
        BigInteger big = BigInteger.valueOf(number + 2).pow(40).mod(BigInteger.valueOf(1_000_003));
        int square = POOL.submit(() -> number * number).get();
        byte[][] garbage = new byte[50][];
        for (int i = 0; i < garbage.length; i++) garbage[i] = new byte[1024];
        return String.format("%s %s %b %x %s %d %s", swapped.substring(0, 20), hash,
                packed < bytes.length, crc.getValue(), big, square, caught(number % 10 == 0 ? text : null));
    }

    private static String unique() throws IOException {
        byte[] urandom = new byte[16], nonce = new byte[16];
        try (FileInputStream file = new FileInputStream("/dev/urandom")) {
            file.readNBytes(urandom, 0, 16);
        }
        SecureRandom secure = new SecureRandom();
        secure.nextBytes(nonce);
        HexFormat hex = HexFormat.of();
        return "urandom " + hex.formatHex(urandom)
                + "\nuuid " + UUID.randomUUID()
                + "\nuuid.kernel " + Files.readString(Path.of("/proc/sys/kernel/random/uuid")).trim()
                + "\nnonce " + hex.formatHex(nonce)
                // Math.random() was seeded before the freeze; this one is so now.
                + "\nrandom " + new Random(secure.nextLong()).nextDouble()
                + "\nmonotonic " + System.nanoTime()
                + "\nrealtime " + System.currentTimeMillis() + "000000\n";
    }

    private static Response respond(TinyKVM.Request request) throws Exception {
        requests++;
        return Response.text(switch (request.url()) {
            case "/unique" -> unique();
            case "/count" -> String.valueOf(requests);
            default -> answer(Integer.parseInt(request.url().substring(1)));
        });
    }

    public static void main(String[] arguments) throws Exception {
        boolean natively = !TinyKVM.isSandboxed();
        for (int number = 0; number < REQUESTS; number++) {
            String text = answer(number);
            if (natively) System.out.print(text + "\n--\n");
        }
        for (int i = 0; i < WARM_UP * REQUESTS; i++) answer(i % REQUESTS);
        if (!natively) {
            unique();
            System.gc();
            TinyKVM.serve(Main::respond);
        }
        long begun = System.nanoTime();
        for (int i = 0; i < ROUNDS * REQUESTS; i++) answer(i % REQUESTS);
        System.out.println("ns " + (System.nanoTime() - begun) / (ROUNDS * REQUESTS));
        POOL.shutdown();
    }
}
