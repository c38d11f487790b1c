// SPDX-License-Identifier: MIT
//
// A server that closes each connection first and does without SO_REUSEADDR, which Java sets by itself.
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;

public class Server {
	public static void main(String[] args) throws Exception {
		ServerSocket server = new ServerSocket();
		server.setReuseAddress(false);
		try {
			server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
		} catch (java.io.IOException e) {
			System.out.println(e.getMessage());
			System.exit(1);
		}
		while (true) {
			try (Socket s = server.accept()) {
				s.getOutputStream().write("hello\n".getBytes());
			}
		}
	}
}
