package com.example.quotes;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** Serves the quotes of its resource. */
public final class Server {
    private Server() {}

    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        byte[] quotes;
        try (InputStream in = Server.class.getResourceAsStream("/quotes.txt")) {
            quotes = in.readAllBytes();
        }
        answer(server, "/quotes", quotes);
        String about = Server.class.getPackage().getImplementationVersion() + " " + System.getProperty("user.name") + " "
                + System.getProperty("java.home") + "\n";
        answer(server, "/about", about.getBytes(StandardCharsets.UTF_8));
        server.start();
    }

    private static void answer(HttpServer server, String path, byte[] body) {
        server.createContext(path, exchange -> {
            exchange.sendResponseHeaders(200, body.length);
            try (var out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
    }
}
