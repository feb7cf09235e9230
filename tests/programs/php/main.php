<?php
// PHP: strings, regular expressions, arrays, JSON, SHA-256, zlib, generators, closures, a caught error,
// dates, a template in every request.

declare(strict_types=1);

const REQUESTS = 100;
const ROUNDS = 10;

$requests = 0;

final class Item
{
    public function __construct(public readonly string $name, public readonly float $price) {}
}

function primes(int $limit): Generator
{
    $composite = [];
    for ($number = 2; $number <= $limit; $number++) {
        if (isset($composite[$number])) {
            continue;
        }
        yield $number;
        for ($multiple = $number * $number; $multiple <= $limit; $multiple += $number) {
            $composite[$multiple] = true;
        }
    }
}

/** @param Item[] $items */
function page(array $items): string
{
    ob_start();
    ?>
<ul><?php foreach ($items as $item): ?><li><?= htmlspecialchars($item->name) ?>: <?= number_format($item->price, 2) ?></li><?php endforeach ?></ul><?php
    return ob_get_clean();
}

function answer(int $number): string
{
    $items = array_map(
        fn (int $id) => new Item("Item $id <&>", ($id * 7919) % 1000 / 100),
        range($number, $number + 5),
    );
    usort($items, fn (Item $a, Item $b) => $a->price <=> $b->price);
    $page = page($items);
    if (gzuncompress(gzcompress($page)) !== $page) {
        throw new LogicException("not the same");
    }
    preg_match_all('/[A-Za-z]+/', $page, $words);
    $counts = array_count_values($words[0]);
    ksort($counts);
    $sum = 0;
    foreach (primes(300 + $number) as $prime) {
        $sum += $prime;
    }
    try {
        $caught = intdiv($number, 0);
    } catch (DivisionByZeroError $error) {
        $caught = $error->getMessage();
    }
    $date = (new DateTimeImmutable("2026-01-31", new DateTimeZone("UTC")))->modify("+$number days");
    return implode(" ", [
        substr($page, 0, 60),
        json_encode($counts),
        $sum,
        $caught,
        $date->format("D Y-m-d"),
        substr(hash("sha256", $page), 0, 16),
    ]);
}

function uuid(): string
{
    return trim(file_get_contents("/proc/sys/kernel/random/uuid"));
}

function unique(): string
{
    $file = fopen("/dev/urandom", "rb");
    stream_set_read_buffer($file, 0);
    $bytes = bin2hex(fread($file, 16));
    fclose($file);
    $cards = range(1, 100);
    shuffle($cards);
    return implode("\n", [
        "urandom $bytes",
        "nonce " . bin2hex(random_bytes(16)),
        "uuid " . uuid(),
        "random " . mt_rand() . mt_rand(),
        "random.shuffled " . implode("-", array_slice($cards, 0, 20)),
        "monotonic " . hrtime(true),

        "realtime " . (int) (microtime(true) * 1e6) . "000",
    ]);
}

function respond(TinyKVM\Request $request): mixed
{
    global $requests;
    $requests++;
    return match ($request->url) {
        "/unique" => unique(),
        "/count" => (string) $requests,
        "/nothing" => [200],
        "/fail" => throw new LogicException("no number"),
        default => answer((int) substr($request->url, 1)),
    };
}

$native = getenv("KVM_NAME") === false;
for ($number = 0; $number < REQUESTS; $number++) {
    $text = answer($number);
    if ($native) {
        echo $text, "\n--\n";
    }
}
if ($native) {
    $begun = hrtime(true);
    for ($number = 0; $number < ROUNDS * REQUESTS; $number++) {
        answer($number % REQUESTS);
    }
    echo "ns ", intdiv(hrtime(true) - $begun, ROUNDS * REQUESTS), "\n";
    exit;
}

// Generators have their seeds before the freeze.
unique();
require "tinykvm.php";
TinyKVM\serve(respond(...));
